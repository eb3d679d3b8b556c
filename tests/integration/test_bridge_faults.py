"""``tagrig bridge`` as a process, with real terminals and real brokers that fail."""

import contextlib
import fcntl
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bridge.embedded_broker import EmbeddedBroker
from rig.cli.exit_codes import ExitCode
from tests.bridge.support import (
    LAT,
    METRE_DEG,
    ZONES_JSON,
    BridgeProcess,
    Line,
    Subscriber,
    epoch_bytes,
    line,
    start_bridge,
    subscriber,
    zigzag,
    zigzag_events,
)
from tests.support import LOOPBACK, Mosquitto, free_port, wait_until

__all__ = ["line", "start_bridge"]

Starter = Callable[..., BridgeProcess]
needs_mosquitto = pytest.mark.needs("mosquitto")

DEVICE = '[[device]]\nid = "t"\nkind = "gnss_receiver"\ninterval_s = 60\ntransport = "{spec}"\n'


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., str]:
    """Write a configuration; give its path."""

    def write(url: str | None, devices: str, extra: str = "") -> str:
        (tmp_path / "zones.geojson").write_text(ZONES_JSON)
        broker = f'[broker]\nurl = "{url}"\n' if url else ""
        (tmp_path / "bridge.toml").write_text(f'{broker}[zones]\nfile = "zones.geojson"\n{devices}{extra}')
        return str(tmp_path / "bridge.toml")

    return write


def zone_alerts(provider: Subscriber, tag: str = "t") -> list[dict]:  # type: ignore[type-arg]
    """Alerts about zones, each id once, as a reader who follows the contract has them."""
    first = {m.json["id"]: m.json for m in provider.on(f"/tag/{tag}/alert") if m.json["data"]["zone"]}
    return list(first.values())


def steps(provider: Subscriber) -> list[str]:
    return [a["data"]["msg_type"] for a in zone_alerts(provider)]


def assert_gapless(provider: Subscriber) -> None:
    numbers = list(dict.fromkeys(int(a["sequence"]) for a in provider.alerts()))
    assert numbers == list(range(1, len(numbers) + 1))


@needs_mosquitto
def test_broker_that_comes_up_later_gets_everything_in_order(
    mosquitto: Mosquitto, line: Line, start_bridge: Starter, config: Callable[..., str]
) -> None:
    with subscriber(mosquitto.host, mosquitto.port) as provider:
        # The provider's session is known to the broker; then the broker is down when the bridge starts.
        mosquitto.stop()
        bridge = start_bridge("--config", config(mosquitto.url, DEVICE.format(spec=line.spec)))
        assert bridge.wait_ready()["broker_connected"] is False
        bridge.wait_link("t", "up")
        line.write(zigzag(0, 200))
        bridge.wait_for(lambda: len(bridge.named("alert")) == 39, what="39 alerts judged")
        assert bridge.named("broker")[0]["connected"] is False
        assert "refused" in bridge.named("broker")[0]["detail"].lower()
        assert "wait on disk" in bridge.log
        mosquitto.start()
        provider.wait_for(lambda: len(steps(provider)) == 39, within_s=20, what="39 alerts at the provider")
        assert steps(provider) == zigzag_events(200)
        assert_gapless(provider)
        assert bridge.stop() == 0


@needs_mosquitto
def test_broker_killed_in_mid_run_loses_nothing(
    mosquitto: Mosquitto, line: Line, start_bridge: Starter, config: Callable[..., str]
) -> None:
    with subscriber(mosquitto.host, mosquitto.port) as provider:
        bridge = start_bridge("--config", config(mosquitto.url, DEVICE.format(spec=line.spec)))
        bridge.wait_ready()
        line.write(zigzag(0, 100))
        provider.wait_for(lambda: len(steps(provider)) >= 10, what="the first alerts")
        mosquitto.kill()
        line.write(zigzag(100, 100))
        bridge.wait_for(lambda: len(bridge.named("alert")) >= 38, what="alerts judged without a broker")
        mosquitto.start()
        wait_until(lambda: provider.connects >= 2, within_s=20, what="the provider's return")
        line.write(zigzag(200, 100))
        provider.wait_for(lambda: len(steps(provider)) == 59, within_s=20, what="all alerts at the provider")
        assert steps(provider) == zigzag_events(300)
        assert_gapless(provider)
        assert bridge.stop() == 0


@needs_mosquitto
def test_flood_without_a_broker_is_bounded_and_all_alerts_are_there(
    mosquitto: Mosquitto, line: Line, start_bridge: Starter, config: Callable[..., str]
) -> None:
    limit = "[policy]\nmax_queued_positions = 100\n"
    with subscriber(mosquitto.host, mosquitto.port) as provider:
        mosquitto.stop()
        bridge = start_bridge("--config", config(mosquitto.url, DEVICE.format(spec=line.spec), limit))
        bridge.wait_link("t", "up")
        line.write(zigzag(0, 3000, every=100))
        bridge.wait_for(lambda: len(bridge.named("alert")) == 29, what="29 alerts judged")
        mosquitto.start()
        provider.wait_for(lambda: len(steps(provider)) == 29, within_s=20, what="all alerts at the provider")
        assert bridge.stop() == 0
    assert steps(provider) == zigzag_events(3000, every=100)
    assert bridge.named("stopped")[0]["positions_dropped"] >= 2000
    beats = [m.json["data"]["outbox"] for m in provider.on("/heartbeat")]
    assert beats, "the heartbeat tells the depth of the outbox"


def test_garbage_on_the_line_changes_nothing(line: Line, start_bridge: Starter, config: Callable[..., str]) -> None:
    rng = random.Random(3)
    bridge = start_bridge("--config", config(None, DEVICE.format(spec=line.spec)))
    broker = bridge.wait_ready()["broker"]
    with subscriber(LOOPBACK, int(broker.rsplit(":", 1)[1])) as provider:
        bridge.wait_link("t", "up")
        for n in range(100):
            line.write(epoch_bytes(n, 500 if n // 5 % 2 == 0 else 20))
            line.write(bytes(b for b in rng.randbytes(200) if b not in b"$!") + b"\r\n")
        provider.wait_for(lambda: len(steps(provider)) == 19, what="19 alerts at the provider")
        assert steps(provider) == zigzag_events(100)
        assert bridge.stop() == 0
    assert bridge.named("stopped")[0]["rejects"] >= 100


def test_unplugged_tag_is_lost_and_its_return_is_told(
    tmp_path: Path, start_bridge: Starter, config: Callable[..., str]
) -> None:
    link = tmp_path / "tty"
    device = (
        f'[[device]]\nid = "t"\ntransport = "pty:{link}"\ninterval_s = 0.2\nsilence_buffer_s = 0.8\n'
        "[capture]\nfolder = 'captures'\n"
    )
    with contextlib.ExitStack() as stack:
        first, second = Line(), Line()
        stack.callback(first.unplug)
        stack.callback(second.unplug)
        link.symlink_to(first.spec.removeprefix("pty:"))
        bridge = start_bridge("--config", config(None, device))
        port = int(bridge.wait_ready()["broker"].rsplit(":", 1)[1])
        provider = stack.enter_context(subscriber(LOOPBACK, port))
        bridge.wait_link("t", "up")
        first.write(zigzag(0, 3))
        provider.wait_for(lambda: len(provider.on("/position")) >= 2, what="positions")

        first.unplug()
        link.unlink()
        bridge.wait_link("t", "lost")
        provider.wait_for(lambda: "comms_lost" in active(provider), what="comms_lost")
        link.symlink_to(second.spec.removeprefix("pty:"))
        bridge.wait_link("t", "up", times=2)
        second.write(zigzag(3, 3))
        provider.wait_for(lambda: not active(provider), what="an empty snapshot")
        told = [(a["data"]["msg_type"], a["data"]["kind"]) for a in provider.alerts()]
        # On a slow machine the silence may also have been told before the first fix, and again after the last.
        expected = [(step, kind) for step in ("Alert", "Cancel") for kind in ("comms_lost", "location_lost")]
        assert expected in [told[n : n + 4] for n in range(len(told))]
        assert bridge.stop() == 0
        assert list((tmp_path / "captures").glob("t_*")), "the line was captured"


def active(provider: Subscriber) -> list[str]:
    found = [m.json["data"]["alerts"] for m in provider.on("/tag/t/active")]
    return [each["kind"] for each in found[-1]] if found else []


def test_proximity_of_two_devices_and_the_privacy_wall(
    line: Line, start_bridge: Starter, config: Callable[..., str]
) -> None:
    hers = Line()
    devices = DEVICE.format(spec=line.spec) + (
        f'[[device]]\nid = "pp"\nrole = "protected"\nkind = "gnss_receiver"\ninterval_s = 60\n'
        f'transport = "{hers.spec}"\n'
        '[[order]]\nid = "o"\nwearer = "t"\nzones = []\n[[order.protected]]\ndevice = "pp"\n'
    )
    try:
        bridge = start_bridge("--config", config(None, devices))
        port = int(bridge.wait_ready()["broker"].rsplit(":", 1)[1])
        with subscriber(LOOPBACK, port) as provider:
            bridge.wait_link("t", "up")
            bridge.wait_link("pp", "up")
            hers.write(epoch_bytes(0, 7.25) + epoch_bytes(1, 7.25))
            provider.wait_for(lambda: bool(provider.on("/protected/pp/position")), what="her position")
            expected = ["pre_alert", "alarm", "contact", "clear"]
            for n, (north_m, band) in enumerate(zip((800, 300, 30, 3000), expected, strict=True)):
                # Two epochs: the second closes the first; they tell the same place.
                line.write(epoch_bytes(2 * n, north_m) + epoch_bytes(2 * n + 1, north_m))
                provider.wait_for(lambda band=band: bands(provider)[-1:] == [band], what=f"band {band}")  # type: ignore[misc]
            assert bands(provider) == expected
            assert [a["data"]["msg_type"] for a in provider.alerts() if a["subject"] == "tag/t"] == [
                "Alert",
                "Update",
                "Update",
                "Cancel",
            ]
            near = [m.json["data"]["proximity"] for m in provider.on("/protected/pp/alert")]
            assert near[2]["distance_m"] == pytest.approx(30 - 7.25, abs=0.5)
            assert near[2]["bearing_deg"] == pytest.approx(0, abs=1)
            assert bridge.stop() == 0
        assert_wall(provider, lat_deg=LAT + 7.25 * METRE_DEG)
    finally:
        hers.unplug()
    assert "51.0" not in bridge.log, "no position in a log"


def bands(provider: Subscriber) -> list[str]:
    return [m.json["data"]["protected_party"]["band"] for m in provider.on("/tag/t/alert")]


def assert_wall(provider: Subscriber, *, lat_deg: float) -> None:
    """No wearer-side message holds her latitude, a distance or a bearing."""
    for message in provider.heard:
        if not message.topic.startswith("em/v1/demo/protected/"):
            text = message.body.decode()
            assert not re.search("distance|bearing|separation", text)
            assert f"{lat_deg:.6f}"[:9] not in text


def test_birth_heartbeat_farewell_and_will(
    line: Line, start_bridge: Starter, config: Callable[..., str], tmp_path: Path
) -> None:
    # A broker that outlives the bridge, as the provider's does.
    broker = EmbeddedBroker("nats", tmp_path / "store")
    broker.start()
    try:
        with subscriber(LOOPBACK, broker.port) as provider:
            path = config(broker.url, DEVICE.format(spec=line.spec), "[policy]\nheartbeat_interval_s = 0.2\n")
            bridge = start_bridge("--config", path)
            bridge.wait_ready()
            provider.wait_for(lambda: len(provider.on("/heartbeat")) >= 3, what="heartbeats")
            assert bridge.stop() == 0
            provider.wait_for(
                lambda: states(provider) == [("online", "started"), ("offline", "stopped")], what="farewell"
            )
            again = start_bridge("--config", path)
            again.wait_ready()
            again.kill()
            provider.wait_for(lambda: states(provider)[-1] == ("offline", "connection lost"), what="the will")
            beat = provider.on("/heartbeat")[0].json["data"]
            assert (beat["devices"], beat["durable"], beat["disk"]) == (1, True, "ok")
            epochs = {m.json["data"]["epoch"] for m in provider.on("/bridge/bridge-1/status")}
            assert len(epochs) == 2
    finally:
        broker.stop()


@needs_mosquitto
def test_statuses_of_the_bridge_rise_in_number_over_connections_and_starts_and_each_has_its_own_id(
    mosquitto: Mosquitto, line: Line, start_bridge: Starter, config: Callable[..., str]
) -> None:
    path = config(mosquitto.url, DEVICE.format(spec=line.spec), "[policy]\nheartbeat_interval_s = 0.2\n")

    def said() -> list[dict]:  # type: ignore[type-arg]
        """Each once: a retained one comes again with every subscription."""
        return list({m.json["id"]: m.json for m in provider.on("/bridge/bridge-1/status")}.values())

    def wait_said(n: int) -> None:
        provider.wait_for(lambda: len(said()) >= n, within_s=30, what=f"status {n} of 5")

    with subscriber(mosquitto.host, mosquitto.port) as provider:
        bridge = start_bridge("--config", path)
        wait_said(1)
        mosquitto.kill()
        mosquitto.start()
        wait_said(2)
        provider.wait_for(lambda: bool(provider.on("/heartbeat")), what="a heartbeat, whose commit keeps the number")
        bridge.kill()
        wait_said(3)
        again = start_bridge("--config", path)
        wait_said(4)
        assert again.stop() == 0
        wait_said(5)
    assert [(each["data"]["state"], each["data"]["reason"]) for each in said()] == [
        ("online", "started"),
        ("online", "connected again"),
        ("offline", "connection lost"),
        ("online", "started"),
        ("offline", "stopped"),
    ]
    numbers = [int(each["sequence"]) for each in said()]
    assert numbers == sorted(set(numbers)), numbers
    times = [each["time"] for each in said()]
    assert times == sorted(times)
    assert times[4] > times[3], "the farewell has the time of the start"


def states(provider: Subscriber) -> list[tuple[str, str]]:
    return [(m.json["data"]["state"], m.json["data"]["reason"]) for m in provider.on("/bridge/bridge-1/status")]


def test_embedded_broker_that_dies_is_started_again(
    line: Line, start_bridge: Starter, config: Callable[..., str]
) -> None:
    bridge = start_bridge("--config", config(None, DEVICE.format(spec=line.spec)))
    port = int(bridge.wait_ready()["broker"].rsplit(":", 1)[1])
    (child,) = psutil.Process(bridge.process.pid).children()
    with subscriber(LOOPBACK, port) as provider:
        child.kill()
        bridge.wait_for(lambda: bool(bridge.named("warning")), what="word of it")
        wait_until(lambda: provider.connects >= 2, within_s=15, what="the provider's return")
        line.write(zigzag(0, 100))
        provider.wait_for(lambda: len(steps(provider)) == 19, what="19 alerts at the provider")
        assert bridge.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_undelivered_messages_of_memory_are_said_and_end_with_an_error(
    number: int, line: Line, start_bridge: Starter, config: Callable[..., str]
) -> None:
    url = f"mqtt://{LOOPBACK}:{free_port()}"
    path = config(url, DEVICE.format(spec=line.spec), "[outbox]\ndurable = false\n")
    bridge = start_bridge("--config", path, "--flush-timeout-s", "0.2")
    assert bridge.wait_ready()["durable"] is False
    bridge.wait_link("t", "up")
    line.write(zigzag(0, 20))
    bridge.wait_for(lambda: len(bridge.named("alert")) == 3, what="alerts")
    bridge.process.send_signal(number)
    assert bridge.wait_end(within_s=30) == ExitCode.BENCH_BROKEN
    assert bridge.named("stopped")[0]["lost"] >= 3
    assert "could not be delivered" in bridge.log


@needs_mosquitto
def test_undelivered_messages_on_disk_go_out_at_the_next_start(
    mosquitto: Mosquitto, line: Line, start_bridge: Starter, config: Callable[..., str]
) -> None:
    with subscriber(mosquitto.host, mosquitto.port) as provider:
        mosquitto.stop()
        path = config(mosquitto.url, DEVICE.format(spec=line.spec))
        bridge = start_bridge("--config", path, "--flush-timeout-s", "0.2")
        bridge.wait_link("t", "up")
        line.write(zigzag(0, 20))
        bridge.wait_for(lambda: len(bridge.named("alert")) == 3, what="alerts")
        assert bridge.stop(within_s=30) == 0
        stopped = bridge.named("stopped")[0]
        assert (stopped["undelivered"] >= 3, stopped["lost"]) == (True, 0)
        assert "wait on disk for the next start" in bridge.log
        mosquitto.start()
        again = start_bridge("--config", path)
        again.wait_ready()
        provider.wait_for(lambda: len(steps(provider)) == 3, what="the alerts of the first start", within_s=20)
        assert_gapless(provider)
        assert again.stop() == 0


@needs_mosquitto
def test_outbox_and_log_that_cannot_be_used_stop_no_alert(
    mosquitto: Mosquitto, line: Line, start_bridge: Starter, config: Callable[..., str], tmp_path: Path
) -> None:
    for name in ("outbox", "disclosures"):
        (tmp_path / name).write_text("not a folder")
    with subscriber(mosquitto.host, mosquitto.port) as provider:
        path = config(mosquitto.url, DEVICE.format(spec=line.spec), "[policy]\nheartbeat_interval_s = 0.2\n")
        bridge = start_bridge("--config", path)
        assert bridge.wait_ready()["durable"] is False
        told = " ".join(each["detail"] for each in bridge.named("warning"))
        assert "the outbox cannot be used" in told
        assert "disclosure log cannot be written" in told
        bridge.wait_link("t", "up")
        line.write(zigzag(0, 20))
        provider.wait_for(lambda: len(steps(provider)) == 3, what="three alerts", within_s=20)
        assert {a["data"]["delivery"]["durable"] for a in zone_alerts(provider)} == {False}
        beat = provider.on("/heartbeat")[-1].json["data"]
        assert (beat["durable"], beat["disk"]) == (False, "failing")
        mosquitto.kill()
        bridge.wait_for(lambda: "messages wait in memory" in bridge.log, what="the word about the broker")
        assert "wait on disk" not in bridge.log
        mosquitto.start()
        bridge.wait_for(lambda: bridge.named("broker")[-1]["connected"], what="the broker again")
        assert bridge.stop() == 0


def test_replays_end_the_bridge_when_asked(tmp_path: Path, start_bridge: Starter, config: Callable[..., str]) -> None:
    (tmp_path / "drive.nmea").write_bytes(zigzag(0, 50))
    devices = DEVICE.format(spec=f"replay:{tmp_path}/drive.nmea?pace=max")
    bridge = start_bridge("--config", config(None, devices), "--exit-when-done", "--epoch", "SAME")
    assert bridge.wait_end() == 0, bridge.log
    assert len(bridge.named("alert")) == 9
    stopped = bridge.named("stopped")[0]
    assert (stopped["reason"], stopped["fixes"], stopped["undelivered"]) == ("all devices have ended", 50, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--config", "nothing.toml"], ExitCode.USAGE, "nothing.toml: cannot be read"),
        ([], ExitCode.USAGE, "there is no device"),
        (["--device", "serail:/dev/x"], ExitCode.USAGE, "serail"),
        (["--device", "memory:a", "--set", "bridge.idd=1"], ExitCode.USAGE, "Did you mean 'id'?"),
        (["--device", "memory:a", "--broker", "http://x"], ExitCode.USAGE, "expected mqtt://host:port"),
        (["--device", "memory:a", "--zones", "no.geojson"], ExitCode.USAGE, "no.geojson"),
    ],
)
def test_a_user_s_mistake_has_a_line_and_a_code_and_no_traceback(
    arguments: list[str], code: int, said: str, start_bridge: Starter
) -> None:
    bridge = start_bridge(*arguments)
    assert bridge.wait_end() == code
    assert said in bridge.log
    assert "Traceback" not in bridge.log


def test_missing_broker_program_is_exit_3(start_bridge: Starter) -> None:
    bridge = start_bridge("--device", "memory:a", environment={"NATS_SERVER": "/nowhere"})
    assert bridge.wait_end() == ExitCode.BENCH_BROKEN
    assert "NATS_SERVER='/nowhere' is not a program" in bridge.log


def test_events_are_json_lines_without_any_position(
    tmp_path: Path, start_bridge: Starter, config: Callable[..., str]
) -> None:
    (tmp_path / "drive.nmea").write_bytes(zigzag(0, 20))
    devices = DEVICE.format(spec=f"replay:{tmp_path}/drive.nmea?pace=max")
    bridge = start_bridge("--config", config(None, devices), "--exit-when-done")
    assert bridge.wait_end() == 0
    text = json.dumps(bridge.events) + bridge.log
    assert not re.search(r"5[01]\.\d{3}", text)
    assert os.fspath(tmp_path) in text


def test_a_reader_of_the_events_that_goes_away_does_not_stop_the_bridge(
    line: Line, tmp_path: Path, config: Callable[..., str]
) -> None:
    path = config(None, DEVICE.format(spec=line.spec))
    with (tmp_path / "bridge.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from rig.cli import main; main()", "bridge", "--json", "--config", path],
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        seen: dict[str, dict] = {}  # type: ignore[type-arg]
        while not {"ready", "link"} <= set(seen):
            event = json.loads(process.stdout.readline())
            seen[event["event"]] = event
        ready = seen["ready"]
        with subscriber(LOOPBACK, int(ready["broker"].rsplit(":", 1)[1])) as provider:
            process.stdout.close()
            line.write(zigzag(0, 100))
            provider.wait_for(lambda: len(steps(provider)) == 19, what="19 alerts at the provider")
            process.terminate()
            assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
    assert "nobody reads the JSON events any more" in (tmp_path / "bridge.log").read_text()


@needs_mosquitto
def test_terminal_and_reader_that_hang_stop_no_alert(
    mosquitto: Mosquitto, line: Line, config: Callable[..., str], tmp_path: Path
) -> None:
    """A terminal that was stopped with Ctrl-S, a log on a disk that hangs: nobody may wait for those."""
    pipes = [os.pipe(), os.pipe()]
    for read, _ in pipes:
        fcntl.fcntl(read, fcntl.F_SETPIPE_SZ, 4096)
    arguments = ("--json", "--config", config(mosquitto.url, DEVICE.format(spec=line.spec)))
    with subscriber(mosquitto.host, mosquitto.port) as provider:
        process = subprocess.Popen(
            [sys.executable, "-c", "from rig.cli import main; main()", "bridge", *arguments],
            stdout=pipes[0][1],
            stderr=pipes[1][1],
            cwd=tmp_path,
        )
        try:
            line.write(zigzag(0, 300, every=3))
            provider.wait_for(lambda: len(steps(provider)) == 99, what="all alerts", within_s=30)
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
            for each in (fd for pipe in pipes for fd in pipe):
                os.close(each)
    assert_gapless(provider)
