"""A saved index of the zones: used while it is of these zones, made anew whenever it is not."""

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.config.load import load_config
from bridge.errors import ConfigError
from bridge.plan import Plan, make_plan
from bridge.zone_index import note_path
from geofence_core.zones import ZoneTable
from rig.cli.check_config import command as check_config
from tests.bridge.bench import CONFIG, ZONES, Bench

INDEXED = CONFIG.replace('file = "zones.geojson"', 'file = "zones.geojson"\nindex = "zones.idx"')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_zones(tmp_path)
    (tmp_path / "bridge.toml").write_text(INDEXED.replace("{zones}", ""))
    return tmp_path


def write_zones(folder: Path, *, radius_m: float = 100) -> None:
    school, inner = (json.loads(json.dumps(feature)) for feature in ZONES["features"])  # type: ignore[attr-defined]
    school["properties"]["radius_m"] = radius_m
    (folder / "zones.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [school, inner]}))


def plan(folder: Path) -> Plan:
    return make_plan(load_config(folder / "bridge.toml"))


def index(folder: Path) -> Path:
    return folder / "zones.idx"


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Zones files that were read and indexed."""
    read: list[Path] = []
    really = ZoneTable.from_geojson

    def noted(source: Path, *, mend: bool = False, band_m: float = 250.0) -> ZoneTable:
        read.append(source)
        return really(source, mend=mend, band_m=band_m)

    monkeypatch.setattr(ZoneTable, "from_geojson", noted)
    return read


def test_it_is_written_once_and_then_used(folder: Path, readings: list[Path]) -> None:
    first = plan(folder)
    assert index(folder).exists()
    again = plan(folder)
    assert len(readings) == 1
    assert again.zone_refs == first.zone_refs
    assert again.mends == first.mends


def test_alerts_are_the_same_to_the_byte(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    def alerts(where: Path, config: str) -> list[bytes]:
        bench = Bench(where, config=config)
        for north_m in (500, 20, 500, 1500, 20):
            bench.wait(1)
            bench.fix("tag", north_m)
        return bench.alert_bodies()

    plain = alerts(tmp_path_factory.mktemp("plain"), CONFIG)
    assert plain
    assert alerts(folder, INDEXED) == plain
    assert alerts(folder, INDEXED) == plain


def test_zones_that_changed_are_indexed_anew(folder: Path, readings: list[Path]) -> None:
    plan(folder)
    before = index(folder).read_bytes()
    write_zones(folder, radius_m=300)
    plan(folder)
    assert len(readings) == 2
    assert index(folder).read_bytes() != before
    plan(folder)
    assert len(readings) == 2


def test_index_of_mended_zones_does_not_stand_for_strict_ones(folder: Path, readings: list[Path]) -> None:
    plan(folder)
    text = (folder / "bridge.toml").read_text()
    (folder / "bridge.toml").write_text(text.replace('index = "zones.idx"', 'index = "zones.idx"\nmend = true'))
    plan(folder)
    assert len(readings) == 2


def damage(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def test_index_that_cannot_be_believed_is_made_anew(
    folder: Path, readings: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    plan(folder)
    whole = index(folder).read_bytes()
    note = note_path(index(folder)).read_bytes()
    ways = {
        "an array is damaged": lambda: damage(index(folder), -9),
        "the head is damaged": lambda: damage(index(folder), 20),
        "cut short": lambda: index(folder).write_bytes(whole[: len(whole) // 2]),
        "empty": lambda: index(folder).write_bytes(b""),
        "gone": lambda: index(folder).unlink(),
        "the note is gone": lambda: note_path(index(folder)).unlink(),
        "the note is of another program": lambda: note_path(index(folder)).write_bytes(b"{}"),
        "the note is of another layout": lambda: note_path(index(folder)).write_bytes(
            note.replace(b'"layout":1', b'"layout":2')
        ),
    }
    for count, (name, way) in enumerate(ways.items(), start=2):
        way()
        with caplog.at_level(logging.INFO):
            made = plan(folder)
        assert len(readings) == count, name
        assert len(made.zone_refs) == 2
        assert index(folder).read_bytes() == whole
        assert note_path(index(folder)).read_bytes() == note


def test_index_of_other_zones_under_the_old_note_is_not_believed(folder: Path, readings: list[Path]) -> None:
    """What a power cut may leave behind: the note of before, the index of after."""
    plan(folder)
    old = note_path(index(folder)).read_bytes()
    write_zones(folder, radius_m=300)
    plan(folder)
    note_path(index(folder)).write_bytes(old)
    write_zones(folder)
    plan(folder)
    assert len(readings) == 3


def test_folder_that_takes_no_index_is_told_and_the_zones_are_used(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (folder / "bridge.toml").read_text()
    (folder / "bridge.toml").write_text(text.replace("zones.idx", "nowhere/zones.idx"))
    assert len(plan(folder).zone_refs) == 2
    assert "the index of the zones is not kept" in caplog.text


def test_check_config_writes_nothing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    done = CliRunner().invoke(check_config, [str(folder / "bridge.toml")])
    assert done.exit_code == 0, done.output
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("zones", "part"),
    [('index = "zones.idx"', "Next: add file"), ('file = "z.json"\nindex = "z.json"', "is the zones file itself")],
)
def test_index_without_zones_of_its_own_is_refused(folder: Path, zones: str, part: str) -> None:
    text = (folder / "bridge.toml").read_text()
    old = 'file = "zones.geojson"\nindex = "zones.idx"'
    (folder / "bridge.toml").write_text(text.replace(old, zones))
    with pytest.raises(ConfigError, match=part):
        plan(folder)
