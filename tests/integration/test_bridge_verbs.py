"""``tagrig check-config``, ``broker`` and ``watch`` as their users run them."""

import json
import re
import shutil
import signal
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from bridge.app import BridgeApp, Ending, Outcome
from bridge.config import BridgeConfig
from bridge.embedded_broker import EmbeddedBroker
from protocols.mqtt import messages as m
from protocols.mqtt.severity import gravity_of
from rig.cli import cli
from rig.cli.bridge import SWITCH_S
from rig.cli.exit_codes import ExitCode
from tests.bridge.bench import Bench
from tests.bridge.support import ZONES_JSON, BridgeProcess, start_bridge, subscriber, zigzag
from tests.support import LOOPBACK, free_port, wait_until

__all__ = ["start_bridge"]

TAGRIG = [sys.executable, "-c", "from rig.cli import main; main()"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "zones.geojson").write_text(ZONES_JSON)
    path = tmp_path / "bridge.toml"
    path.write_text(
        '[zones]\nfile = "zones.geojson"\n[[device]]\nid = "t"\ntransport = "memory:a"\n'
        '[[device]]\nid = "pp"\nrole = "protected"\ntransport = "memory:b"\n'
    )
    return path


def test_check_config_tells_each_value_and_its_source(config: Path) -> None:
    result = CliRunner().invoke(cli, ["check-config", str(config), "--set", "policy.exit_margin_m=5", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    rows = {row["key"]: (row["value"], row["source"]) for row in told["values"]}
    assert rows["device[0].id"] == ("t", f"{config}:4")
    assert rows["policy.exit_margin_m"] == (5.0, "--set policy.exit_margin_m")
    assert rows["bridge.id"] == ("bridge-1", "default")
    assert any("stands in no order" in warning for warning in told["warnings"])


def test_check_config_for_a_person(config: Path) -> None:
    result = CliRunner().invoke(cli, ["check-config", str(config)])
    assert result.exit_code == 0
    assert re.search(r"device\[0\]\.id +\"t\" +.*bridge\.toml:4", result.stdout)
    assert "usable. Devices: 2, zones: 1, pairs: 0" in result.stdout


def test_check_config_warns_of_a_secret_that_others_can_read(config: Path) -> None:
    words = ["check-config", str(config), "--set", "broker.username=u", "--set", "broker.password_file=pw"]
    (config.parent / "pw").write_text("secret")
    for mode, is_told in ((0o640, True), (0o600, False)):
        (config.parent / "pw").chmod(mode)
        told = CliRunner().invoke(cli, [*words, "--broker", "mqtt://127.0.0.1:1"])
        assert told.exit_code == 0
        assert ("chmod 600" in told.stderr) is is_told


def test_check_config_of_a_part(config: Path) -> None:
    without = CliRunner().invoke(cli, ["check-config", str(config), "--set", 'bridge.partition="1/2"'])
    assert without.exit_code == 2 and "without a broker" in without.stderr
    counts = []
    for part in ("1/2", "2/2"):
        words = ["check-config", str(config), "--broker", "mqtt://127.0.0.1:1"]
        result = CliRunner().invoke(cli, [*words, "--set", f'bridge.partition="{part}"'])
        (count,) = re.findall(rf"Devices: 2 \(part {part}: (\d)\)", result.stdout)
        counts.append(int(count))
    assert sum(counts) == 2


def test_check_config_opens_the_files_that_the_broker_asks_for(config: Path) -> None:
    (config.parent / "ca.pem").write_text("no certificate")
    config.write_text(config.read_text() + '[broker]\nurl = "mqtts://127.0.0.1:8883"\nca_file = "ca.pem"\n')
    result = CliRunner().invoke(cli, ["check-config", str(config)])
    assert result.exit_code == ExitCode.USAGE
    assert "ca.pem" in result.stderr


def test_a_zone_wound_the_wrong_way_is_refused_with_the_key_that_mends_it(config: Path) -> None:
    backwards = {
        "type": "Feature",
        "id": "z-back",
        "properties": {"purpose": "exclusion"},
        "geometry": {"type": "Polygon", "coordinates": [[[-6.5, 51], [-6.5, 51.1], [-6.4, 51.1], [-6.5, 51]]]},
    }
    (config.parent / "zones.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [backwards]}))
    refused = CliRunner().invoke(cli, ["check-config", str(config)])
    assert refused.exit_code == ExitCode.USAGE
    assert "mend = true under [zones]" in refused.stderr
    mended = CliRunner().invoke(cli, ["check-config", str(config), "--set", "zones.mend=true", "--json"])
    assert mended.exit_code == 0
    assert any("z-back" in warning for warning in json.loads(mended.stdout)["warnings"])


def test_tls_files_without_tls_and_two_brokers_at_once_are_refused(config: Path) -> None:
    plain = ["--set", "broker.url=mqtt://127.0.0.1", "--set", "broker.ca_file=ca.pem"]
    assert "is for TLS only" in CliRunner().invoke(cli, ["check-config", str(config), *plain]).stderr
    both = ["--broker", "nats", "--set", "broker.url=mqtt://127.0.0.1"]
    assert "asks for an embedded broker" in CliRunner().invoke(cli, ["check-config", str(config), *both]).stderr


def test_watch_refuses_a_root_that_no_topic_can_have() -> None:
    assert CliRunner().invoke(cli, ["watch", "--root", "a/#"]).exit_code == ExitCode.USAGE


def test_check_config_finds_a_transport_that_is_none(config: Path) -> None:
    config.write_text(config.read_text().replace("memory:b", "serail:/dev/x"))
    result = CliRunner().invoke(cli, ["check-config", str(config), "--json"])
    assert result.exit_code == ExitCode.USAGE
    problem = json.loads(result.stdout)["problems"][0]
    assert problem["path"] == "device[1].transport"
    assert problem["where"] == f"{config}:9"


@pytest.mark.parametrize("verb", ["bridge", "broker", "check-config", "watch"])
def test_every_verb_has_help(verb: str) -> None:
    result = CliRunner().invoke(cli, [verb, "--help"])
    assert result.exit_code == 0
    assert "Exit codes" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_broker_runs_until_it_is_told_to_stop(number: int) -> None:
    process = subprocess.Popen([*TAGRIG, "broker", "--json"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        with subscriber(LOOPBACK, int(ready["broker"].rsplit(":", 1)[1])):
            pass
        process.send_signal(number)
        assert process.wait(10) == 0
        assert json.loads(process.stdout.readline()) == {"event": "stopped"}
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_broker_that_ends_by_itself_is_exit_3() -> None:
    process = subprocess.Popen([*TAGRIG, "broker", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        child = json.loads(process.stdout.readline())["pid"]
        subprocess.run(["kill", "-9", str(child)], check=True)
        assert process.wait(10) == ExitCode.BENCH_BROKEN
        assert "ended by itself" in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_watch_prints_what_a_bridge_publishes(tmp_path: Path, start_bridge: Callable[..., BridgeProcess]) -> None:
    (tmp_path / "zones.geojson").write_text(ZONES_JSON)
    (tmp_path / "drive.nmea").write_bytes(zigzag(0, 50))
    broker = EmbeddedBroker()
    broker.start()
    watch = subprocess.Popen(
        [*TAGRIG, "watch", "--broker", broker.url, "--json", "--count", "9"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    assert watch.stderr is not None
    try:
        assert "subscribed" in watch.stderr.readline()
        bridge = start_bridge(
            *("--broker", broker.url, "--zones", "zones.geojson", "--exit-when-done"),
            *("--device", f"t=replay:{tmp_path}/drive.nmea?pace=max"),
        )
        assert bridge.wait_end() == 0, bridge.log
        out, _ = watch.communicate(timeout=20)
        assert watch.returncode == 0
        lines = [json.loads(line) for line in out.splitlines()]
        alerts = [line for line in lines if line["type"] == "alert"]
        assert len(alerts) == 9
        assert all(len(alert["hops_ms"]) == 5 and min(alert["hops_ms"]) >= 0 for alert in alerts)
        summary = lines[-1]
        assert (summary["alerts"], summary["missing"], summary["duplicates"]) == (9, 0, 0)
        assert any(line["type"] == "bridge" and line["state"] == "online" for line in lines)
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()
        watch.stderr.close()
        broker.stop()


def test_watch_for_a_person_finds_the_gap(tmp_path: Path) -> None:
    """Sample alerts of another publisher: the third is missing, the fifth is no alert at all."""
    (tmp_path / "zones.geojson").write_text(ZONES_JSON)
    bodies = sample_alerts(tmp_path)
    broker = EmbeddedBroker()
    broker.start()
    watch = subprocess.Popen(
        [*TAGRIG, "watch", "--broker", broker.url, "--receipt-stats", "--count", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    assert watch.stderr is not None
    try:
        assert "subscribed" in watch.stderr.readline()
        with subscriber(LOOPBACK, broker.port) as other:
            assert other.client is not None
            for body in (bodies[0], b"{}", bodies[1], bodies[3]):
                other.client.publish("em/v1/demo/tag/t/alert", body, qos=1)
            wait_until(lambda: len(other.heard) == 4, within_s=10, what="four messages")
        out, err = watch.communicate(timeout=20)
        assert watch.returncode == ExitCode.VERDICT_FAIL
        assert "exclusion_zone_entered School" in out
        assert "AFTER A GAP" in out
        assert "3 alerts, 1 missing, 0 duplicates, 0 out of order, 1 unreadable" in out
        assert "not as the contract says" in err
        assert "missing from urn:em:t:b:tag:tag: 3" in err
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()
        watch.stderr.close()
        broker.stop()


def sample_alerts(folder: Path) -> list[bytes]:
    bench = Bench(folder)
    for n in range(6):
        bench.fix("tag", 0 if n % 2 else 500)
        bench.wait(1)
    bodies = bench.alert_bodies()
    assert all(m.decode(body, m.AlertEvent).data.zone for body in bodies)
    return bodies


def test_watch_refuses_what_is_no_broker() -> None:
    result = CliRunner().invoke(cli, ["watch", "--broker", "http://x"])
    assert result.exit_code == ExitCode.USAGE
    assert "expected mqtt://host:port" in result.stderr


def test_watch_without_a_broker_goes_on_trying() -> None:
    url = f"mqtt://{LOOPBACK}:{free_port()}"
    run = subprocess.run(
        [*TAGRIG, "watch", "--broker", url, "--json", "--for-s", "1"], capture_output=True, timeout=30, check=False
    )
    assert run.returncode == ExitCode.BENCH_BROKEN
    assert b"no broker at" in run.stderr
    assert msgspec.json.decode(run.stdout)["alerts"] == 0


CONFIGS = Path(__file__).parents[2] / "fixtures" / "configs"


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.toml")))
def test_example_configurations_are_usable(name: str, tmp_path: Path) -> None:
    shutil.copytree(CONFIGS.parent / "zones", tmp_path / "zones")
    path = Path(shutil.copytree(CONFIGS, tmp_path / "configs")) / f"{name}.toml"
    if "pki/" in path.read_text():
        assert CliRunner().invoke(cli, ["certs", str(path.parent / "pki"), "--client", "bridge-3"]).exit_code == 0
    result = CliRunner().invoke(cli, ["check-config", str(path)])
    assert result.exit_code == 0, result.output
    assert "warning" not in result.stderr


def test_the_readme_lists_every_key_of_the_configuration() -> None:
    text = (Path(__file__).parents[2] / "bridge" / "README.md").read_text()

    def names(section: type[msgspec.Struct]) -> set[str]:
        found: set[str] = set()
        for field in msgspec.structs.fields(section):
            found.add(field.name)
            inner = [kind for kind in (field.type, *typing.get_args(field.type)) if isinstance(kind, type)]
            for kind in inner:
                found |= names(kind) if issubclass(kind, msgspec.Struct) else set()
        return found

    missing = {name for name in names(BridgeConfig) if f"`{name}`" not in text}
    assert not missing - {field.name for field in msgspec.structs.fields(BridgeConfig)}


def test_the_readme_lists_every_kind_of_alert() -> None:
    text = (Path(__file__).parents[2] / "bridge" / "README.md").read_text()
    for kind in m.AlertKind:
        rows = [line for line in text.splitlines() if line.startswith(f"| `{kind}`")]
        assert len(rows) == 1, kind
        if kind is not m.AlertKind.PROXIMITY_BREACH:
            assert gravity_of(kind).severity in rows[0]


def test_threads_of_a_bridge_take_turns_often(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher gives the interpreter up at each call to the system, and must get it back soon."""
    seen: list[float] = []

    async def run(_: BridgeApp) -> Outcome:
        seen.append(sys.getswitchinterval())
        return Outcome(ending=Ending.ASKED, lost=0)

    monkeypatch.setattr(BridgeApp, "run", run)
    before = sys.getswitchinterval()
    try:
        assert CliRunner().invoke(cli, ["bridge", "--config", str(config)]).exit_code == 0
    finally:
        sys.setswitchinterval(before)
    assert seen == [pytest.approx(SWITCH_S)]
