"""A bench with hardware of its own: an emulated tag on a port, that is leased, powered, identified and flashed."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rig.bench.errors import FirmwareMismatchError, FlashError, LeaseBusyError, RoleAbsentError
from rig.bench.load import load_bench, parse_bench
from rig.bench.opening import OpenBench, bench_from
from rig.bench.ports import find_port, resources, template_fields
from rig.ble.firmware.images import ImageVersion, make_image
from rig.cli.bench import command as bench_command
from rig.cli.scan import command as scan_command
from rig.errors import BenchBrokenError
from tests.rig.support import EmulatorProcess

ROOT = Path(__file__).parents[3]
TAGRIG = f'"{sys.executable}", "-m", "rig.demo.verb"'


@pytest.fixture(autouse=True)
def _own_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGRIG_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "tag-1.5.0.bin"
    path.write_bytes(make_image(ImageVersion(major=1, minor=5, revision=0), random.Random(7).randbytes(9_000)))
    return path


def bench_file(folder: Path, *, expect: str = "emu-1.0*", more: str = "", lease_s: float = 30) -> Path:
    path = folder / "bench.toml"
    path.write_text(
        f'[bench]\nname = "desk"\nemulate_missing = true\nlease_s = {lease_s}\n[devices.offender]\ntype = "ankle_tag"\n'
        f'transport = "pty:{folder}/tag"\nexpect_firmware = "{expect}"\npower = {{kind = "emulated"}}\n{more}'
    )
    return path


def opened(path: Path) -> OpenBench:
    return OpenBench(load_bench(path), folder=path.parent)


def run(command: object, *args: object) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args])  # type: ignore[arg-type]


def test_a_bench_is_leased_powered_identified_and_cycled(tmp_path: Path) -> None:
    path = bench_file(tmp_path)
    with opened(path) as bench:
        assert dict(bench.firmware) == {"offender": "emu-1.0"}
        assert bench.power("offender").is_on
        with pytest.raises(LeaseBusyError, match="bench desk, process"):
            opened(path).open()
        assert bench.power_cycle("offender") < 20
        bench.check()
        with pytest.raises(RoleAbsentError, match=r"has no role 'victim'\. Roles: offender"):
            bench.power("victim")
    assert not (tmp_path / "tag").exists()


def test_another_firmware_than_expected_breaks_the_bench(tmp_path: Path) -> None:
    with pytest.raises(FirmwareMismatchError, match=r"offender runs 'emu-1\.0'; the bench file expects '2"):
        opened(bench_file(tmp_path, expect="2.4.*")).open()
    assert not (tmp_path / "tag").exists()
    told = run(bench_command, "check", tmp_path / "bench.toml")
    assert (told.exit_code, "tagrig bench: offender runs 'emu-1.0'" in told.stderr) == (3, True)


def test_a_port_that_is_not_there_breaks_the_bench(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(
        '[bench]\nname = "d"\n[devices.offender]\ntype = "ankle_tag"\ntransport = "serial:by-serial=NONE"\n'
        'expect_firmware = "1"\n'
    )
    with pytest.raises(BenchBrokenError, match=r"offender: .* no port with serial number 'NONE'"):
        opened(path).open()


def test_a_command_flashes_and_the_version_is_read_back(tmp_path: Path, image: Path) -> None:
    more = (
        f'[devices.offender.flash]\nkind = "command"\nimage = "{image.name}"\nwhen = "mismatch"\n'
        f'command = [{TAGRIG}, "flash", "{{image}}", "--to", "serial:{{port}}"]\n'
    )
    with opened(bench_file(tmp_path, expect="emu-1.5.*", more=more)) as bench:
        assert dict(bench.firmware) == {"offender": "emu-1.5.0"}


def test_smp_flashes_and_another_version_than_wanted_is_told(tmp_path: Path, image: Path) -> None:
    more = f'[devices.offender.flash]\nkind = "smp"\nimage = "{image.name}"\nversion = "emu-1.6.0"\nready_s = 2\n'
    with opened(bench_file(tmp_path, more=more)) as bench:
        with pytest.raises(
            FlashError, match=r"2 s after flashing .*: offender runs 'emu-1\.5\.0'; .* expects 'emu-1\.6"
        ):
            bench.flash("offender")
        assert "flash" in bench.features


def test_a_flashing_command_that_fails_shows_the_end_of_its_output(tmp_path: Path, image: Path) -> None:
    more = (
        f'[devices.offender.flash]\nkind = "command"\nimage = "{image.name}"\n'
        f'command = [{TAGRIG}, "flash", "{{image}}", "--to", "serial:/dev/none-{{role}}"]\n'
    )
    told = run(bench_command, "flash", bench_file(tmp_path, more=more), "offender")
    assert told.exit_code == 1
    assert "ended with exit code 3; the end of its output:" in told.stderr
    assert "serial:/dev/none-offender: there is no such port" in told.stderr


def test_the_verbs_check_lease_and_power(tmp_path: Path) -> None:
    path = bench_file(tmp_path)
    checked = run(bench_command, "check", path)
    assert checked.exit_code == 0
    assert f"offender           real      ankle_tag      pty:{tmp_path}/tag, firmware emu-1.0" in checked.stdout
    assert '"features":["battery"' in run(bench_command, "check", path, "--no-open", "--json").stdout
    assert run(bench_command, "power", path, "offender", "cycle").stdout.startswith("offender: back ")
    nobody = run(bench_command, "power", path, "victim", "on")
    assert (nobody.exit_code, "has no role 'victim'" in nobody.stderr) == (2, True)
    assert "no leases in" in run(bench_command, "leases").stdout
    with opened(path):
        assert f"{tmp_path}/tag  in use by" in run(bench_command, "leases").stdout
        busy = run(bench_command, "check", path)
        assert (busy.exit_code, "in use by" in busy.stderr) == (3, True)
        assert run(bench_command, "leases", "--json").stdout.count('"held":true') == 1


@pytest.fixture
def tag(tmp_path: Path) -> Iterator[str]:
    with EmulatorProcess("--link", str(tmp_path / "plugged"), "--rate-hz", "5") as tag:
        assert tag.word()["event"] == "ready"
        yield str(tmp_path / "plugged")


def test_a_scan_writes_the_first_file_and_never_another(tmp_path: Path, tag: str) -> None:
    path = tmp_path / "first.toml"
    written = run(scan_command, tag, "--listen-s", 5, "--write", path)
    assert written.exit_code == 0
    assert f"{path}: offender. Next: tagrig bench check {path}" in written.stderr
    file = load_bench(path)
    assert file.devices["offender"].transport == f"pty:{tag}"
    assert file.devices["offender"].expect_firmware == "emu-1.0"
    assert run(bench_command, "check", path).exit_code == 0
    again = run(scan_command, tag, "--write", path)
    assert (again.exit_code, "exists, and is not overwritten" in again.stderr) == (2, True)


def test_a_recording_tells_its_firmware(tmp_path: Path, tag: str) -> None:
    with Path(tag).open("rb", buffering=0) as line, (tmp_path / "walk.nmea").open("wb") as out:
        heard = b""
        while b"emu-1.0*" not in heard:
            heard = line.read(4096)
            out.write(heard)
    text = (
        '[bench]\nname = "d"\n[devices.offender]\ntype = "ankle_tag"\ntransport = "replay:walk.nmea"\n'
        'expect_firmware = "emu-*"\n'
    )
    with OpenBench(parse_bench(text, name="d", folder=tmp_path), folder=tmp_path) as bench:
        assert dict(bench.firmware) == {"offender": "emu-1.0"}
        assert bench.kind == "replay"
        bench.check()


def test_emulated_benches_are_open_beside_each_other() -> None:
    with bench_from(None) as one, bench_from(None) as other:
        assert (one.kind, other.name, one.roles) == ("emulated", "emulated", ())


def test_what_is_leased_meets_under_different_names(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()
    (tmp_path / "tag").symlink_to(port)
    assert set(resources(f"serial:{tmp_path}/tag?baud=9600")) & set(resources(f"serial:{port}")) == {str(port)}
    assert resources("serial:by-serial=NONE?interface=1") == ["by-serial=NONE interface 1"]
    assert resources("socket://[::1]:4001") == ["::1:4001"]
    assert resources("ble:c0:de:00:00:00:01?adapter=hci0") == ["ble:C0:DE:00:00:00:01"]
    assert resources("emulated:") == resources("replay:x") == []
    assert find_port("socket://h:1") is None
    assert template_fields("offender", f"pty:{tmp_path}/tag")["port"] == f"{tmp_path}/tag"
