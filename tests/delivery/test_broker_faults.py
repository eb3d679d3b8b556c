"""Clauses 2 and 13, and two paths: brokers that crash and forget, and two bridges with one name."""

from pathlib import Path

import pytest

from rig.brokers.mosquitto import Keeping, MosquittoBroker
from rig.brokers.nats import NatsBroker
from tests.delivery.course import Course
from tests.delivery.ledger import ReaderLedger
from tests.delivery.lines import LineFile
from tests.delivery.worker import CLIENT_ID, SHORT_REST, Job

needs_mosquitto = pytest.mark.needs("mosquitto")


@pytest.mark.parametrize(
    ("kind", "version", "receipts"),
    [
        pytest.param("mosquitto", "5", False, marks=needs_mosquitto),
        pytest.param("mosquitto", "3.1.1", True, marks=[needs_mosquitto, pytest.mark.soak]),
        pytest.param("mosquitto", "3.1.1", False, marks=[needs_mosquitto, pytest.mark.soak]),
        pytest.param("nats", "3.1.1", False, marks=pytest.mark.soak),
    ],
)
def test_clause_2_broker_killed_with_its_queue_and_the_subscriber_late(
    course: Course, tmp_path: Path, kind: str, version: str, receipts: bool
) -> None:
    """The broker acknowledges what it queues for an absent subscriber, loses it in a crash, and the publisher is first
    to be back: 801 of 2,800 acknowledged messages were lost to nobody's notice in that order."""
    broker = (
        MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING)
        if kind == "mosquitto"
        else NatsBroker(tmp_path / "broker")
    )
    with broker:
        endpoint = f"{broker.host}:{broker.port}"
        reading = course.read(endpoint, version=version, receipts=receipts)
        life = course.publish(endpoint, version=version, receipt_timeout_s=2.0, constants=SHORT_REST)
        life.submit(Job(count=100, rate_hz=1000))
        life.wait_sent()
        reading.end()
        life.submit(Job(count=300, rate_hz=1000))
        before = life.wait_sent()
        assert before["delivered"] >= 400, "the broker acknowledged them all"
        connects = before["connects"]
        broker.kill()
        life.submit(Job(count=200, rate_hz=400))
        broker.start()
        life.wait_for("a connection", lambda s: s["connects"] > connects)
        course.wait_confirmed(600)
        course.read(endpoint, version=version, receipts=receipts)
        verdict = course.verdict().check()
        assert verdict.confirmed == 600
        assert life.close()["left"] == 0


@needs_mosquitto
def test_clause_2_publisher_dies_between_a_brokers_amnesia_and_the_subscribers_return(
    course: Course, tmp_path: Path
) -> None:
    """The broker tells only once that it forgot: to the next life it says that it knows the session."""
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        endpoint = f"{broker.host}:{broker.port}"
        reading = course.read(endpoint)
        life = course.publish(endpoint, Job(count=50, rate_hz=1000))
        life.wait_sent()
        course.verdict().check()
        reading.end()
        life.submit(Job(count=50, rate_hz=1000))
        life.wait_for("acknowledgements for the queue", lambda s: s["delivered"] >= 100)
        broker.kill()
        broker.start()
        life.wait_for("word of the amnesia", lambda s: "amnesia begins main" in s["happened"])
        life.end()
        last = course.publish(endpoint)
        course.read(endpoint)
        assert course.verdict().check().confirmed == 100
        assert last.close()["left"] == 0


@needs_mosquitto
def test_second_path_delivers_while_the_first_broker_is_down(course: Course, tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "a", keeping=Keeping.NOTHING) as first, MosquittoBroker(tmp_path / "b") as second:
        ways = ((f"{first.host}:{first.port}",), (f"{second.host}:{second.port}",))
        course.read(ways[0][0], ledger="first")
        course.read(ways[1][0], ledger="second")
        life = course.publish(ways, Job(count=400, rate_hz=400))
        life.wait_for("half of it", lambda s: s["submitted"] >= 200)
        first.kill()
        course.wait_confirmed(400)
        verdict = course.verdict().check()
        assert verdict.confirmed == 400
        assert verdict.duplicates > 0, "both paths carried the first half"
        by_second = ReaderLedger([LineFile(course.folder / "second")]).refresh()
        assert len(by_second.ids) == 400, "the second path alone had all of it"
        first.start()
        life.wait_sent()
        assert life.close()["left"] == 0


@needs_mosquitto
@pytest.mark.soak
def test_next_endpoint_of_a_list_takes_over(course: Course, tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "a", keeping=Keeping.NOTHING) as first, MosquittoBroker(tmp_path / "b") as second:
        ends = (f"{first.host}:{first.port}", f"{second.host}:{second.port}")
        course.read(ends[0], ledger="first")
        course.read(ends[1], ledger="second")
        life = course.publish((ends,), Job(count=300, rate_hz=300))
        life.wait_for("a third of it", lambda s: s["delivered"] >= 100)
        first.kill()
        assert life.close()["left"] == 0
        assert course.verdict().check().confirmed == 300


@needs_mosquitto
def test_clause_13_second_bridge_on_one_outbox_is_locked_out(course: Course, tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        endpoint = f"{broker.host}:{broker.port}"
        course.read(endpoint)
        first = course.publish(endpoint, Job(count=100, rate_hz=200))
        second = course.launch(endpoint, Job(count=100, first_tag=100))
        assert second.read_line() == b"", "it does not start"
        second.wait_end()
        assert str(first.process.pid) in second.log, "it names who holds the outbox"
        assert first.close()["left"] == 0
        assert course.verdict().check().confirmed == 100


@needs_mosquitto
def test_clause_13_two_bridges_with_one_client_id_lose_nothing_and_say_so(course: Course, tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        endpoint = f"{broker.host}:{broker.port}"
        course.read(endpoint)
        lives = [
            course.publish(
                endpoint,
                Job(count=200, rate_hz=400, first_tag=100 * number),
                client_id=CLIENT_ID,
                outbox=str(tmp_path / f"outbox-{number}"),
            )
            for number in range(2)
        ]
        for life in lives:
            life.wait_for("word of the other", lambda s: any("taken_over begins" in each for each in s["happened"]))
        lives[1].close(60)
        assert lives[0].close(60)["left"] == 0, "with the other gone it delivers"
        again = course.publish(endpoint, outbox=str(tmp_path / "outbox-1"))
        assert again.close()["left"] == 0
        assert course.verdict().check().confirmed == 400
