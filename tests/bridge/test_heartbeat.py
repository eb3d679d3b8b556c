"""What a heartbeat says of the disk, the provider, the paths and the clock."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.clock_state import read_clock_state
from bridge.compose import Composer
from bridge.heartbeat import heartbeat_data
from bridge.identity import Identity
from bridge.publisher import PathStats, PublisherStats
from protocols.mqtt.messages import HeartbeatEvent, decode
from tests.bridge.bench import Bench

STATS = PublisherStats(
    running=True,
    is_dead=False,
    connected=True,
    detail="",
    submitted=9,
    delivered=7,
    queued_alerts=2,
    queued_states=0,
    queued_positions=0,
    in_flight=1,
    positions_dropped=0,
    states_superseded=0,
    rejected=0,
    without_subscriber=0,
    unheard_alerts=0,
    positions_unheard=0,
    resent=0,
    connects=3,
    oldest_alert_submitted_mono_ns=1_000_000_000,
    durable=True,
    unreceipted=4,
    oldest_unreceipted_age_ns=12_500_000_000,
    receipts_seen=5,
    canary="ok",
    provider_online=True,
    paths=(
        PathStats(name="main", url="mqtts://a:8883", connected=True, detail="", connects=3, in_flight=1, canary="ok"),
    ),
)


@pytest.fixture
def composer() -> Composer:
    identity = Identity(
        root="em/v1/t",
        agency="t",
        bridge_id="b",
        epoch="E",
        boot_id="",
        version="0",
        status="Test",
        event_type_prefix="org.example.em",
        durable=True,
    )
    return Composer(identity)


def test_what_waits_and_who_listens(composer: Composer) -> None:
    composer.clock = "synced"
    data = heartbeat_data(composer, (), STATS, now_mono_ns=3_000_000_000, started_mono_ns=0, commands_refused=6)
    event = decode(composer.heartbeat(data, 0).body, HeartbeatEvent)
    assert event.data == data
    assert (data.disk, data.canary, data.provider, data.clock) == ("ok", "ok", "online", "synced")
    assert (data.outbox.unreceipted, data.outbox.oldest_unreceipted_age_s, data.outbox.receipts) == (4, 12.5, 5)
    assert (data.paths[0].endpoint, data.paths[0].reconnects) == ("mqtts://a:8883", 2)
    assert (data.commands_refused, data.outbox.oldest_alert_age_s) == (6, 2.0)


@pytest.mark.parametrize(
    ("change", "disk", "provider"),
    [
        (lambda s: replace(s, durable=False, disk_trouble="x: the disk is full."), "full", "online"),
        (lambda s: replace(s, durable=False, disk_trouble="x: I/O error"), "failing", "online"),
        (lambda s: replace(s, durable=True, disk_trouble="message 3 is set aside"), "failing", "online"),
        (lambda s: replace(s, provider_online=None), "ok", "unknown"),
        (lambda s: replace(s, provider_online=False), "ok", "offline"),
    ],
)
def test_what_is_wrong(
    composer: Composer, change: Callable[[PublisherStats], PublisherStats], disk: str, provider: str
) -> None:
    data = heartbeat_data(composer, (), change(STATS), now_mono_ns=0, started_mono_ns=0)
    assert (data.disk, data.provider) == (disk, provider)


def test_the_newest_alert_is_named(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fix("tag", 0)
    last = bench.alerts()[-1]
    mark = bench.composer.last_alert
    assert mark is not None
    assert (mark.source, mark.sequence) == (last["source"], last["sequence"])


def test_the_kernel_is_asked_about_the_clock() -> None:
    assert read_clock_state() in {"synced", "unsynced"}
