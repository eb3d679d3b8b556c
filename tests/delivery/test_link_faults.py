"""Clauses 3 and 4: networks that swallow, flap, lose and reset, between hosts of their own."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.brokers.mosquitto import Keeping, MosquittoBroker
from rig.netlink.filters import PacketFilter
from rig.netlink.link import FAR_ADDRESS, TunLink
from tests.delivery.course import Course, Publishing
from tests.delivery.ledger import percentile
from tests.delivery.worker import Job

pytestmark = pytest.mark.needs("mosquitto")

SOAK = pytest.mark.soak
PORT = 1883
ENDPOINT = f"{FAR_ADDRESS}:{PORT}"


@pytest.fixture
def broker(link: TunLink, tmp_path: Path) -> Iterator[MosquittoBroker]:
    """Behind the link, with the subscriber; the publisher is on the near side."""
    far = tmp_path / "broker"
    with MosquittoBroker(far, keeping=Keeping.NOTHING, host=FAR_ADDRESS, port=PORT, namespace=link.far) as made:
        yield made


def begin(course: Course, link: TunLink, *jobs: Job, constants: dict[str, int] | None = None) -> Publishing:
    course.read(ENDPOINT, namespace=link.far)
    link.set(delay_ms=5)
    life = course.publish(ENDPOINT, *jobs, namespace=link.near, constants=constants or {})
    life.wait_for("traffic", lambda s: s["delivered"] >= 50)
    return life


def pass_time(seconds: float) -> None:
    """Let a fault last; there is nothing to wait for while nothing may happen."""
    time.sleep(seconds)


@pytest.mark.parametrize(
    ("dark_s", "patience_s"), [(1.5, 1), pytest.param(3.5, 3, marks=SOAK), pytest.param(30, 3, marks=SOAK)]
)
@pytest.mark.usefixtures("broker")
def test_clause_3_black_hole_without_a_word(course: Course, link: TunLink, dark_s: float, patience_s: int) -> None:
    constants = {"bridge.mqtt.flight:ACK_TIMEOUT_NS": patience_s * 1_000_000_000}
    life = begin(course, link, Job(count=100_000, rate_hz=200, tags=100), constants=constants)
    link.set(blocked=True)
    pass_time(dark_s)
    delivered = life.stats()["delivered"]
    link.set(delay_ms=5)
    back = time.monotonic()
    life.wait_for("a PUBACK", lambda s: s["delivered"] > delivered)
    recovery_s = time.monotonic() - back
    life.end()
    last = course.publish(ENDPOINT, namespace=link.near)
    assert last.close()["left"] == 0
    course.verdict().check()
    print(f"dark {dark_s:g} s, first PUBACK {recovery_s:.2f} s after the light")  # noqa: T201 - shown with -s


@pytest.mark.parametrize(
    ("phases", "on_s", "off_s", "loss_pct"),
    [
        (2, 0.5, 0.5, 2),
        pytest.param(15, 1.0, 1.0, 0, marks=SOAK),
        pytest.param(15, 1.0, 1.0, 2, marks=SOAK),
    ],
)
@pytest.mark.usefixtures("broker")
def test_clause_4_flapping_link(
    course: Course, link: TunLink, phases: int, on_s: float, off_s: float, loss_pct: float
) -> None:
    life = begin(
        course, link, Job(count=100_000, rate_hz=200, tags=100), Job(count=100_000, rate_hz=100, lane="position")
    )
    for _ in range(phases):
        link.set(blocked=True)
        pass_time(off_s)
        link.set(delay_ms=5, loss_pct=loss_pct)
        pass_time(on_s)
    link.set(delay_ms=5)
    life.end()
    assert course.publish(ENDPOINT, namespace=link.near).close()["left"] == 0
    course.verdict().check()
    took = course.latencies_ms()
    print(f"flapping, loss {loss_pct} %: p50 {percentile(took, 0.5):.0f} ms, p99 {percentile(took, 0.99):.0f} ms")  # noqa: T201


@pytest.mark.soak
@pytest.mark.parametrize("loss_pct", [5, 20])
@pytest.mark.usefixtures("broker")
def test_clause_4_lossy_link(course: Course, link: TunLink, loss_pct: float) -> None:
    life = begin(course, link, Job(count=3000, rate_hz=200, tags=100))
    link.set(delay_ms=5, loss_pct=loss_pct)
    life.wait_for("the end of the job", lambda s: not s["jobs"], within_s=60)
    link.set(delay_ms=5)
    assert life.close()["left"] == 0
    course.verdict().check()
    took = course.latencies_ms()
    print(f"loss {loss_pct} %: p50 {percentile(took, 0.5):.0f} ms, p99 {percentile(took, 0.99):.0f} ms")  # noqa: T201


@pytest.mark.usefixtures("broker")
def test_clause_4_connections_reset_and_refused_by_a_firewall(course: Course, link: TunLink) -> None:
    life = begin(course, link, Job(count=600, rate_hz=600))
    rules = PacketFilter(link.far)
    for _ in range(2):
        connects = life.stats()["connects"]
        rules.reset(PORT)
        life.wait_for("the loss of the connection", lambda s: not s["connected"])
        rules.clear()
        life.wait_for("a connection", lambda s: s["connects"] > connects)  # noqa: B023 - called here
    assert life.close()["left"] == 0
    course.verdict().check()
