"""Clauses 8 and 9: a broker that denies, a provider that is absent, silent or missed something."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from bridge.publisher import Lane
from rig.brokers.mosquitto import Keeping, MosquittoBroker
from tests.delivery.course import Course
from tests.delivery.traffic import ROOT, source_of
from tests.delivery.worker import SHORT_REST, Job, Order

pytestmark = pytest.mark.needs("mosquitto")

OPEN = "user bridge\ntopic readwrite #\nuser desk\ntopic readwrite #\n"
DENIED = f"user bridge\ntopic read #\ntopic write {ROOT}/bridge/b/status\nuser desk\ntopic readwrite #\n"
"""The bridge may read all and say that it lives; its alerts and its canary are denied."""

FAST_CANARY = {"bridge.mqtt.canary:PATIENCE_NS": 300_000_000}


@pytest.mark.parametrize(
    ("version", "queue_max"),
    [
        ("5", 1_000_000),
        ("3.1.1", 0),
        pytest.param("5", 0, marks=pytest.mark.soak),
        pytest.param("3.1.1", 1_000_000, marks=pytest.mark.soak),
    ],
)
def test_clause_8_denied_alerts_are_noticed_and_delivered_once_allowed(
    course: Course, tmp_path: Path, version: str, queue_max: int
) -> None:
    """MQTT 5 answers a denied publish with a reason; 3.1.1 with a plain PUBACK, and drops it: only the canary tells.

    With a queue without limit mosquitto 2.0 ends the connection besides, after each of them."""
    acl = tmp_path / "acl"
    acl.write_text(OPEN)
    lines = [f"acl_file {acl}"]
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING, lines=lines, queue_max=queue_max) as broker:
        endpoint = f"{broker.host}:{broker.port}"
        course.read(endpoint, username="desk", version=version)
        life = course.publish(endpoint, version=version, username="bridge", canary_s=0.2, constants=FAST_CANARY)
        life.submit(Job(count=50, rate_hz=1000))
        life.wait_sent()
        life.wait_for("a canary", lambda s: s["canary"] == "ok")
        acl.write_text(DENIED)
        os.kill(broker.pid, signal.SIGHUP)
        life.wait_for("word of the lost canary", lambda s: "canary_lost begins main" in s["happened"])
        life.submit(Job(count=100, rate_hz=1000))
        stats = life.wait_for("the end of the job", lambda s: not s["jobs"])
        if (version, queue_max) == ("5", 1_000_000):
            stats = life.wait_for("refusals", lambda s: s["rejected"] > 0)
            assert stats["queued_alerts"] + stats["in_flight"] > 0, "they are kept"
        elif queue_max:
            life.wait_sent()  # every one of them is acknowledged, and dropped
        acl.write_text(OPEN)
        os.kill(broker.pid, signal.SIGHUP)
        life.wait_for("word of its return", lambda s: "canary_lost over main" in s["happened"])
        assert life.close()["left"] == 0
        assert course.verdict().check().confirmed == 150


def test_clause_9_absent_provider_gets_everything_when_it_comes(course: Course, tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        endpoint = f"{broker.host}:{broker.port}"
        life = course.publish(endpoint, Job(count=100, rate_hz=1000), constants=SHORT_REST)
        stats = life.wait_for("word that nobody is there", lambda s: s["unheard_alerts"] > 0 and not s["jobs"])
        assert stats["delivered"] == 0
        course.read(endpoint)
        course.wait_confirmed(100)
        course.verdict().check()
        assert life.close()["left"] == 0


def test_clause_9_alerts_without_receipts_are_sent_again_until_confirmed(course: Course, tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        endpoint = f"{broker.host}:{broker.port}"
        careful = course.read(endpoint, receipts=True)
        life = course.publish(endpoint, receipt_timeout_s=0.2)
        life.submit(Job(count=20, rate_hz=1000))
        life.wait_for("receipts", lambda s: s["receipts_seen"] >= 20 and s["unreceipted"] == 0)
        careful.end()
        silent = course.read(endpoint)
        life.submit(Job(count=20, rate_hz=1000))
        life.wait_for("alerts without a receipt", lambda s: s["unreceipted"] >= 20)
        life.wait_for("second sendings", lambda s: s["resent"] >= 20)
        silent.end()
        course.read(endpoint, receipts=True)
        life.wait_for("receipts of all", lambda s: s["unreceipted"] == 0)
        assert life.close()["left"] == 0
        verdict = course.verdict().check()
        assert verdict.confirmed == 40
        assert verdict.duplicates >= 20
        assert max(each.attempt for each in course.reader.heard) > 1, "a repeated sending says which it is"


def test_clause_9_gap_is_filled_by_a_replay_with_the_ids_it_had(course: Course, tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        endpoint = f"{broker.host}:{broker.port}"
        course.read(endpoint)
        life = course.publish(endpoint, Job(count=100, rate_hz=1000, tags=2))
        life.wait_sent()
        course.wait_confirmed(100)
        course.verdict().check()
        source = source_of("t1", Lane.ALERT)
        # Of an earlier life: a provider asks after its own restart, or ours.
        assert life.close()["left"] == 0
        life = course.publish(endpoint)
        answer = life.ask(Order(do="replay", source=source, first=11, last=30))
        assert answer == {"replayed": 20}
        life.wait_for("the replay", lambda s: s["delivered"] >= 20)
        assert life.close()["left"] == 0
        course.reader.refresh()
        times = Counter((each.source, each.sequence) for each in course.reader.heard)
        assert {key for key, count in times.items() if count == 2} == {(source, n) for n in range(11, 31)}
        verdict = course.verdict().check()
        assert (verdict.confirmed, verdict.duplicates) == (100, 20)
