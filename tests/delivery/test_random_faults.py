"""Any mix of faults, one after another and at once: the verdict is the same."""

import random
import time
from pathlib import Path

import pytest

from rig.brokers.mosquitto import Keeping, MosquittoBroker
from rig.brokers.nats import NatsBroker
from tests.delivery.course import Course, Publishing, Reading
from tests.delivery.worker import SHORT_REST, Job

LOAD = Job(count=1_000_000, rate_hz=200)
"""Alerts only: a position that a broker loses after its PUBACK is not sent again but on demand."""

STEP_S = (0.05, 0.6)


class Mix:
    """A publisher, a broker and a subscriber that are killed, paused and started again as the dice fall."""

    def __init__(self, course: Course, broker: MosquittoBroker | NatsBroker, version: str, *, receipts: bool) -> None:
        self._course = course
        self._broker = broker
        self._version = version
        self._receipts = receipts
        self._endpoint = f"{broker.host}:{broker.port}"
        self._life: Publishing | None = None
        self._reading: Reading | None = None
        self._is_paused = False
        self.log: list[str] = []

    def step(self, dice: random.Random) -> None:
        """Do one thing, and let it last for a while."""
        deeds = [self.toggle_publisher, self.toggle_broker, self.toggle_reader, self.pause_broker]
        dice.choice(deeds)()
        time.sleep(dice.uniform(*STEP_S))  # how long a fault lasts is the test's input

    def toggle_publisher(self) -> None:
        if self._life is None:
            self.log.append("publisher starts")
            self._life = self._course.publish(
                self._endpoint, LOAD, version=self._version, receipt_timeout_s=1.0, constants=SHORT_REST
            )
        else:
            self.log.append("publisher is killed")
            self._life.end()
            self._life = None

    def toggle_broker(self) -> None:
        if self._broker.is_running:
            self.log.append("broker is killed")
            self._broker.kill()
            self._is_paused = False
        else:
            self.log.append("broker starts")
            self._broker.start()

    def toggle_reader(self) -> None:
        if self._reading is not None:
            self.log.append("subscriber is killed")
            self._reading.end()
            self._reading = None
        elif self._broker.is_running and not self._is_paused:
            self.log.append("subscriber starts")
            self._reading = self._course.read(self._endpoint, version=self._version, receipts=self._receipts)

    def pause_broker(self) -> None:
        if self._broker.is_running:
            self.log.append("broker goes on" if self._is_paused else "broker is paused")
            self._broker.resume() if self._is_paused else self._broker.pause()
            self._is_paused = not self._is_paused

    def heal(self) -> None:
        """Everything runs again; a last life of the publisher delivers what is left."""
        if self._is_paused:
            self.pause_broker()
        if not self._broker.is_running:
            self.toggle_broker()
        if self._reading is None:
            self.toggle_reader()
        if self._life is not None:
            self.toggle_publisher()
        last = self._course.publish(self._endpoint, Job(count=20), version=self._version, constants=SHORT_REST)
        assert last.close(60)["left"] == 0


@pytest.mark.parametrize(
    ("kind", "version", "receipts", "steps"),
    [
        pytest.param("mosquitto", "5", True, 12, marks=pytest.mark.needs("mosquitto")),
        pytest.param("mosquitto", "5", True, 300, marks=[pytest.mark.needs("mosquitto"), pytest.mark.soak]),
        pytest.param("mosquitto", "5", False, 300, marks=[pytest.mark.needs("mosquitto"), pytest.mark.soak]),
        pytest.param("mosquitto", "3.1.1", False, 300, marks=[pytest.mark.needs("mosquitto"), pytest.mark.soak]),
        pytest.param("nats", "3.1.1", False, 300, marks=pytest.mark.soak),
    ],
)
def test_any_mix_of_faults_loses_nothing(
    course: Course, tmp_path: Path, dice: random.Random, kind: str, version: str, receipts: bool, steps: int
) -> None:
    folder = tmp_path / "broker"
    broker = MosquittoBroker(folder, keeping=Keeping.NOTHING) if kind == "mosquitto" else NatsBroker(folder)
    with broker:
        mix = Mix(course, broker, version, receipts=receipts)
        mix.toggle_reader()
        mix.toggle_publisher()
        try:
            for _ in range(steps):
                mix.step(dice)
            mix.heal()
            course.verdict().check()
        finally:
            print("; ".join(mix.log[-60:]))  # noqa: T201 - shown on failure
