"""Clause 1 on the whole bridge: ``tagrig bridge`` is killed under load; what its outbox holds reached the provider."""

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from rig.brokers.mosquitto import Keeping, MosquittoBroker
from tests.bridge.support import ZONES_JSON, BridgeProcess, Line, epoch_bytes, line
from tests.delivery.course import Course
from tests.delivery.lines import LineWriter

__all__ = ["line"]

EPOCHS_PER_S = 100
EVERY = 10
"""Epochs that the device stays on one side of the zone's border: ten alerts a second."""

CONFIG = """
[bridge]
id = "b"
agency = "acceptance"
[broker]
url = "{url}"
[outbox]
folder = "{folder}/outbox"
[zones]
file = "zones.geojson"
[[device]]
id = "t"
kind = "gnss_receiver"
interval_s = 60
transport = "{spec}"
"""

TOPICS = tuple(f"em/v1/acceptance/{each}" for each in ("tag/+/alert", "tag/+/position", "control/+/incident"))


@contextmanager
def driving(line: Line) -> Iterator[None]:
    """A device that goes on, bridge or not: in and out of the zone, for ever."""
    halt = threading.Event()

    def drive() -> None:
        second = 0
        while not halt.wait(1 / EPOCHS_PER_S):
            line.write_until(epoch_bytes(second, 500 if second // EVERY % 2 == 0 else 20), halt)
            second += 1

    driver = threading.Thread(target=drive, name="device")
    driver.start()
    try:
        yield
    finally:
        halt.set()
        driver.join()


def rows_of(outbox: Path) -> list[tuple[str, int, str, bytes]]:
    """All alerts, incidents and positions that were ever committed; the bridge has ended."""
    with sqlite3.connect(f"file:{next(outbox.glob('*.sqlite*'))}?mode=ro", uri=True) as database:
        found = database.execute(
            "SELECT source, sequence, event_id, body FROM row WHERE lane IN (0, 2) ORDER BY number"
        ).fetchall()
    database.close()
    return found


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("kills", [1, pytest.param(200, marks=pytest.mark.soak)])
def test_clause_1_kills_of_tagrig_bridge_lose_nothing(
    course: Course, line: Line, tmp_path: Path, dice: random.Random, kills: int
) -> None:
    (tmp_path / "zones.geojson").write_text(ZONES_JSON)
    config = tmp_path / "bridge.toml"
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        config.write_text(CONFIG.format(url=broker.url, folder=tmp_path, spec=line.spec))
        course.read(f"{broker.host}:{broker.port}", topics=TOPICS)
        with driving(line):
            for _ in range(kills):
                bridge = BridgeProcess(tmp_path, "--config", str(config))
                try:
                    bridge.wait_for(lambda: bridge.named("ready"), what="ready", within_s=60)  # noqa: B023
                    heard = len(course.reader.refresh().heard)
                    bridge.wait_for(lambda: len(course.reader.refresh().heard) > heard, what="traffic", within_s=60)  # noqa: B023
                    time.sleep(dice.uniform(0, 0.5))  # the moment of the kill is the test's input
                finally:
                    bridge.kill()
        last = BridgeProcess(tmp_path, "--config", str(config))
        try:
            last.wait_for(lambda: bool(last.named("ready")), what="ready", within_s=60)
        finally:
            # It delivers what waits before it ends.
            assert last.stop(within_s=60) == 0
        rows = rows_of(tmp_path / "outbox")
        for name in ("submitted", "confirmed"):
            writer = LineWriter(course.folder / name)
            writer.write(f"{source}\t{sequence}\t{event_id}\t1" for source, sequence, event_id, _ in rows)
            writer.close()
        verdict = course.verdict().check()
        assert verdict.confirmed > 20 * kills
        # The life of each alert goes on over the restarts: nothing is raised twice, nothing ends twice.
        steps = [
            event["data"]["msg_type"]
            for event in (msgspec.json.decode(body) for *_, body in rows)
            if event["type"].endswith(".alert.v1") and event["data"]["zone"]
        ]
        assert steps
        assert all(step == ("Cancel" if n % 2 else "Alert") for n, step in enumerate(steps)), steps
