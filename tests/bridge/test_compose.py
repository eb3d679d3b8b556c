"""What is published always fits the contract's largest body, and a number is only taken by what is published."""

from pathlib import Path

import msgspec
import pytest

from bridge.alerts.change import AlertKey, Change, Raised
from bridge.compose import MAX_REASON, StageStamps
from bridge.heartbeat import heartbeat_data
from bridge.publisher import PublisherStats
from bridge.view import DeviceView
from devices.events import Stamps
from protocols.mqtt.messages import MAX_PAYLOAD_BYTES, AlertKind, MsgType, PayloadTooLargeError, ZoneRef
from tests.bridge.bench import T0_UTC_NS, Bench

STAMPS = Stamps(t_rx_mono_ns=1, t_rx_utc_ns=T0_UTC_NS, t_decoded_mono_ns=2)
STAGES = StageStamps(judged_mono_ns=3, submitted_mono_ns=4, submitted_utc_ns=T0_UTC_NS)


def change(kind: AlertKind, about: str = "", *, zone: ZoneRef | None = None, reason: str = "entered") -> Change:
    key = AlertKey(device_id="tag", kind=kind, about=about)
    return Change(
        key=key, raised=True, occurred_utc_ns=T0_UTC_NS, stamps=STAMPS, shown_by="tag", reason=reason, zone=zone
    )


def raised(n: int, kind: AlertKind) -> Raised:
    zone = ZoneRef(id=f"z-{n}-" + "x" * 200, type="exclusion", name=None)
    return Raised(
        alert_id=f"{n:026d}", last_id="0" * 26, raised_utc_ns=T0_UTC_NS, last=change(kind, zone.id, zone=zone)
    )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def view_of(bench: Bench) -> DeviceView:
    return next(view for view in bench.pipeline.views if view.id == "tag")


def test_snapshot_of_very_many_alerts_has_the_most_severe_and_says_how_many_are_missing(bench: Bench) -> None:
    composer, view = bench.pipeline._emitter._composer, view_of(bench)
    minor = [raised(n, AlertKind.BATTERY_LOW) for n in range(300)]
    extreme = [raised(n, AlertKind.EXCLUSION_ZONE_ENTERED) for n in range(300, 310)]
    message = composer.active(view, [*minor, *extreme], T0_UTC_NS)
    assert len(message.body) <= MAX_PAYLOAD_BYTES
    data = msgspec.json.decode(message.body)["data"]
    assert [each["alert_id"] for each in data["alerts"][:11]] == [f"{n:026d}" for n in [*range(300, 310), 0]]
    assert len(data["alerts"]) + data["truncated"] == 310
    assert len(data["alerts"]) > 30
    few = composer.active(view, minor[:3], T0_UTC_NS)
    assert msgspec.json.decode(few.body)["data"]["truncated"] == 0
    assert dict(few.properties)["sequence"].endswith("02"), "the attempt that was too long took no number"


def test_alert_that_cannot_be_encoded_takes_no_number(bench: Bench) -> None:
    composer, view = bench.pipeline._emitter._composer, view_of(bench)
    too_long = ZoneRef(id="z", type="exclusion", name="x" * 17_000)
    with pytest.raises(PayloadTooLargeError):
        composer.alert(change(AlertKind.STRAP_TAMPER, zone=too_long), MsgType.ALERT, None, view, STAGES)
    assert (composer.last_alert_sequence(view), composer.alerts) == (0, 0)
    event, _ = composer.alert(change(AlertKind.STRAP_TAMPER), MsgType.ALERT, None, view, STAGES)
    assert int(event.sequence) == composer.last_alert_sequence(view) == composer.alerts == 1


def test_reason_is_cut(bench: Bench) -> None:
    composer, view = bench.pipeline._emitter._composer, view_of(bench)
    long = change(AlertKind.COMMS_LOST, reason="é" * 20_000)
    event, message = composer.alert(long, MsgType.ALERT, None, view, STAGES)
    assert len(event.data.reason) == MAX_REASON
    assert len(message.body) <= MAX_PAYLOAD_BYTES


def test_heartbeat_of_very_many_devices_is_small(bench: Bench) -> None:
    composer = bench.pipeline._emitter._composer
    counts = dict.fromkeys((name for name, kind in PublisherStats.__annotations__.items() if kind is int), 0)
    stats = PublisherStats(
        running=True,
        is_dead=False,
        connected=True,
        detail="",
        oldest_alert_submitted_mono_ns=None,
        **counts,  # type: ignore[arg-type]
    )
    data = heartbeat_data(composer, [view_of(bench)] * 1000, stats, now_mono_ns=1, started_mono_ns=0)
    assert len(composer.heartbeat(data, T0_UTC_NS).body) < 2000
