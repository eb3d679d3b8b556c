"""Clause 1: the publisher's process may be killed at any moment; what it confirmed is delivered."""

import random
import time
from pathlib import Path

import pytest

from rig.brokers.mosquitto import Keeping, MosquittoBroker
from rig.brokers.nats import NatsBroker
from rig.brokers.process import BrokerProcess
from tests.delivery.course import Course
from tests.delivery.worker import Job
from tests.support import wait_until

LOAD = Job(count=100_000, rate_hz=300)
POSITIONS = Job(count=100_000, rate_hz=100, lane="position")


def kill_at_random(course: Course, endpoint: str, version: str, kills: int, dice: random.Random) -> None:
    for _ in range(kills):
        life = course.publish(endpoint, LOAD, POSITIONS, version=version)
        pause_s = dice.uniform(0.02, 0.35)
        deadline = time.monotonic() + pause_s
        before = len(course.confirmed())
        # Killed at a moment of its own, but not before it did something: a life without work proves nothing.
        wait_until(
            lambda: time.monotonic() >= deadline and len(course.confirmed()) > before,  # noqa: B023 - called here
            within_s=30,
            what="work",
        )
        life.end()
    last = course.publish(endpoint, Job(count=20), version=version)
    assert last.close(60)["left"] == 0


@pytest.mark.needs("mosquitto")
def test_clause_1_kills_of_the_publisher_lose_nothing(course: Course, tmp_path: Path, dice: random.Random) -> None:
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        run_kills(course, broker, "5", 6, dice)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_clause_1_a_hundred_kills_of_the_publisher_lose_nothing(
    course: Course, tmp_path: Path, dice: random.Random, kind: str
) -> None:
    made = (
        MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING)
        if kind == "mosquitto"
        else NatsBroker(tmp_path / "broker")
    )
    with made as broker:
        run_kills(course, broker, "5" if kind == "mosquitto" else "3.1.1", 100, dice)


def run_kills(course: Course, broker: BrokerProcess, version: str, kills: int, dice: random.Random) -> None:
    endpoint = f"{broker.host}:{broker.port}"
    course.read(endpoint, version=version)
    kill_at_random(course, endpoint, version, kills, dice)
    verdict = course.verdict().check()
    assert verdict.confirmed > 20 * kills
    # What was in flight, and what was acknowledged and not yet noted, may come twice at each kill; not more.
    assert verdict.duplicates <= 400 * kills
