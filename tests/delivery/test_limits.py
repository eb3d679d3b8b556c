"""Clauses 10, 11 and 12: a backlog, many open descriptors, callbacks that fail."""

from pathlib import Path

import pytest
from paho.mqtt import publish

from rig.brokers.mosquitto import Keeping, MosquittoBroker
from tests.delivery.course import ALERTS, POSITIONS, Course
from tests.delivery.ledger import percentile
from tests.delivery.traffic import BRIDGE_ID, ROOT
from tests.delivery.worker import Job
from tests.support import wait_until

pytestmark = pytest.mark.needs("mosquitto")

MANY_DESCRIPTORS = 1_100
"""More than ``select`` can name (1,024)."""


@pytest.mark.parametrize("backlog", [4_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_clause_10_alerts_pass_a_backlog_that_drains(course: Course, tmp_path: Path, backlog: int) -> None:
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        endpoint = f"{broker.host}:{broker.port}"
        broker.kill()
        life = course.publish(endpoint, Job(count=backlog, lane="position", tags=200))
        life.wait_for("the backlog", lambda s: s["submitted"] == backlog and not s["jobs"], within_s=600)
        wait_until(lambda: len(course.confirmed()) == backlog, within_s=600, what="its commits")
        life.end()
        # A life that finds the backlog on disk, as after a crash.
        broker.start()
        # Two sessions: what the broker queues for a slow reader of positions is no matter of the bridge's.
        course.read(endpoint, topics=(ALERTS,))
        course.read(endpoint, topics=(POSITIONS,), ledger="positions", client_id="positions")
        life = course.publish(endpoint, Job(count=100 if backlog < 100_000 else 5_000, rate_hz=200))
        life.wait_sent(within_s=900)
        assert life.close()["left"] == 0
        course.verdict(within_s=30 if backlog < 100_000 else 900).check()
        took = course.latencies_ms()
        arrivals = course.reader.heard
        last_position = max(each.t_mono_ns for each in arrivals if each.topic.endswith("/position"))
        first_alert = min(each.t_mono_ns for each in arrivals if each.topic.endswith("/alert"))
        assert first_alert < last_position, "alerts do not wait for the backlog"
        said = f"p50 {percentile(took, 0.5):.1f} ms, p99 {percentile(took, 0.99):.1f} ms, max {max(took):.1f} ms"
        print(f"alerts during the drain of {backlog:,}: {said}")  # noqa: T201 - shown with -s
        if backlog >= 100_000:
            assert percentile(took, 0.99) < 50


def test_clause_11_more_descriptors_than_select_can_name(course: Course, tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        endpoint = f"{broker.host}:{broker.port}"
        course.read(endpoint)
        life = course.publish(endpoint, Job(count=200, rate_hz=2000), spare_descriptors=MANY_DESCRIPTORS)
        assert len(list(Path(f"/proc/{life.process.pid}/fd").iterdir())) > MANY_DESCRIPTORS
        life.wait_sent()
        broker.kill()
        broker.start()
        life.submit(Job(count=100, rate_hz=2000))
        life.wait_sent()
        assert life.close()["left"] == 0
        assert course.verdict().check().confirmed == 300


CALLBACKS = (
    "on_connect",
    "on_subscribe",
    "on_publish",
    "on_message",
    "on_disconnect",
    "on_state",
    "on_trouble",
    "on_inbound",
    "on_committed",
)


@pytest.mark.parametrize("names", [CALLBACKS])
def test_clause_12_exception_in_each_callback_is_told_and_loses_nothing(
    course: Course, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """A thread that died in silence would leave ``connected`` true and lose everything that follows."""
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        endpoint = f"{broker.host}:{broker.port}"
        course.read(endpoint, receipts=True)
        for name in names:
            life = course.publish(endpoint, Job(count=20, rate_hz=1000), hostile=(name,))
            if name in ("on_disconnect", "on_trouble"):
                life.wait_sent()
                broker.kill()
                broker.start()
            elif name == "on_inbound":
                life.wait_for("its subscriptions", lambda s: s["receipts_seen"] > 0)
                publish.single(f"{ROOT}/bridge/{BRIDGE_ID}/cmd", b"{}", qos=1, hostname=broker.host, port=broker.port)
            life.wait_for(f"the failure of {name}", lambda s: f"raised {name}" in s["happened"])  # noqa: B023
            life.wait_for(
                "word of it, or all delivered",
                lambda s: s["is_dead"] or (not s["jobs"] and not s["queued_alerts"] and not s["in_flight"]),
            )
            life.end()
        last = course.publish(endpoint, Job(count=20))
        assert last.close()["left"] == 0
        verdict = course.verdict().check()
        assert verdict.confirmed > 20
