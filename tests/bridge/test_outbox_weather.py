"""Random lives of an outbox on disk: deaths, a disk that fails now and then, two brokers that come and go."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import OutboxError, OutboxFullError, OutboxIoError, OutboxReadOnlyError
from bridge.outbox import backlog
from bridge.outbox.durable import DurableOutbox
from bridge.outbox.path_queue import RETRY_REJECTED_NS
from bridge.outbox.store import FILE_NAME, OutboxStore
from bridge.publisher import Lane
from tests.bridge.outbox_bench import SECOND_NS, OutboxBench, message
from tests.bridge.test_outbox_durable import crash

TOPICS = 4


class Weather:
    """Makes statements of the store fail, each with the same probability, while it is bad."""

    def __init__(self, rng: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_bad = False
        self._rng = rng
        for name in ("commit", "insert", "change", "change_numbers", "load", "ask", "begin"):
            monkeypatch.setattr(OutboxStore, name, self._unsure(getattr(OutboxStore, name), after=name == "commit"))

    def _unsure(self, call, *, after: bool):  # type: ignore[no-untyped-def]
        def unsure(store: OutboxStore, *arguments: object) -> object:
            fails = self.is_bad and self._rng.random() < 0.3
            if fails and not (after and self._rng.random() < 0.5):
                raise self._error()
            result = call(store, *arguments)
            if fails:
                # A commit may be complete although its sync failed.
                raise self._error()
            return result

        return unsure

    def _error(self) -> OutboxError:
        return self._rng.choice([OutboxFullError, OutboxIoError, OutboxReadOnlyError])("the disk was told to fail")


class Life:
    """What was written, and what each broker got, in order of its first arrival."""

    def __init__(self, rng: random.Random, bench: OutboxBench) -> None:
        self.rng = rng
        self.bench = bench
        self.outbox: DurableOutbox = bench.open()[0]
        self.written = 0
        self.arrived: list[dict[int, None]] = [{}, {}]
        self.positions: list[dict[int, None]] = [{}, {}]
        self.out: list[list[tuple[int, int, Lane]]] = [[], []]

    def write(self) -> bool:
        count = self.rng.randrange(1, 4)
        now = self.bench.clock.mono_ns()
        batch = [message(self.written + n, topic=f"t/{(self.written + n) % TOPICS}") for n in range(count)]
        batch.append(message(self.written, Lane.POSITION))
        self.written += count
        return self.outbox.write(batch, now)

    def send(self, path: int) -> None:
        entry = self.outbox.find_next(path, self.bench.clock.mono_ns())
        if entry is not None:
            self.out[path].append((entry.number, int(entry.message.body), entry.message.lane))
            if entry.message.lane is Lane.POSITION:
                self.positions[path].setdefault(int(entry.message.body))

    def answer(self, path: int) -> None:
        if not self.out[path]:
            return
        now = self.bench.clock.mono_ns()
        number, body, lane = self.out[path].pop(self.rng.randrange(len(self.out[path])))
        if lane is Lane.ALERT and self.rng.random() < 0.15:
            self.rng.choice([self.outbox.mark_rejected, self.outbox.mark_unheard])(path, number, now)
            return
        self.outbox.mark_delivered(path, number, now)
        if lane is Lane.ALERT:
            self.arrived[path].setdefault(body)

    def lose_connection(self, path: int) -> None:
        self.outbox.rewind(path)
        self.out[path].clear()
        if self.rng.random() < 0.3:
            self.outbox.forget_session(path, self.bench.clock.mono_ns())

    def restart(self) -> None:
        crash(self.outbox)
        self.out = [[], []]
        self.outbox = self.bench.open()[0]

    def finish(self) -> None:
        now = self.bench.clock.advance(100)
        self.outbox.flush_acks(now, force=True)
        assert self.outbox.depths().is_durable
        self.outbox.begin_last_try()
        for path in (0, 1):
            self.outbox.rewind(path)
            self.out[path].clear()
            while (entry := self.outbox.find_next(path, now + RETRY_REJECTED_NS)) is not None:
                self.outbox.mark_delivered(path, entry.number, now)
                where = self.arrived if entry.message.lane is Lane.ALERT else self.positions
                where[path].setdefault(int(entry.message.body))
        assert self.outbox.is_empty


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(backlog, "LINE_MAX", 4)
    monkeypatch.setattr(backlog, "ALERTS_MAX", 6)
    monkeypatch.setattr(backlog, "POSITIONS_MAX", 20)
    return


def live(life: Life, steps: int, weather: Weather | None, deaths: float) -> None:
    rng = life.rng
    for _ in range(steps):
        now = life.bench.clock.advance(0.2)
        path = rng.randrange(2)
        match rng.randrange(10):
            case 0 | 1:
                life.write()
            case 2 | 3 | 4:
                life.send(path)
            case 5 | 6:
                life.answer(path)
            case 7:
                life.outbox.flush_acks(now)
            case 8 if rng.random() < 0.1:
                life.lose_connection(path)
            case 9 if weather is not None and rng.random() < 0.05:
                weather.is_bad = not weather.is_bad
            case 9 if rng.random() < deaths:
                life.restart()
            case 9 if rng.random() < 0.1:
                life.outbox.take_receipt(f"urn:t/{rng.randrange(TOPICS)}:ALERT", upto=rng.randrange(life.written + 1))
            case 9 if rng.random() < 0.1:
                life.outbox.resend_unreceipted(now, SECOND_NS)
    if weather is not None:
        weather.is_bad = False
    life.finish()


def lives_and_dies(folder: Path, seed: int, steps: int) -> None:
    life = Life(random.Random(seed), OutboxBench(folder, paths=2))
    live(life, steps, None, deaths=0.2)
    for path in (0, 1):
        for topic in range(TOPICS):
            expected = list(range(topic, life.written, TOPICS))
            assert [n for n in life.arrived[path] if n % TOPICS == topic] == expected, f"seed {seed}"
        assert list(life.positions[path]) == sorted(life.positions[path]), f"seed {seed}"
    assert life.positions[0].keys() == life.positions[1].keys(), f"seed {seed}"
    life.outbox.close()


def weathers(folder: Path, seed: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    life = Life(rng, OutboxBench(folder, paths=2))
    live(life, steps, Weather(rng, monkeypatch), deaths=0.0)
    for path in (0, 1):
        assert sorted(life.arrived[path]) == list(range(life.written)), f"seed {seed}"
    assert life.bench.troubles, f"seed {seed}"
    assert life.bench.troubles[-1].is_over, f"seed {seed}"
    life.outbox.close()
    store = OutboxStore.open(folder / FILE_NAME)
    alerts = [row.message.sequence for row in store.rows() if row.message.lane is Lane.ALERT]
    store.close()
    assert sorted(alerts) == list(range(life.written)), f"seed {seed}: evidence of each, once"


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("seed", range(2))
def test_no_death_loses_or_disorders_an_alert(tmp_path: Path, seed: int) -> None:
    lives_and_dies(tmp_path / "outbox", seed, 600)


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("seed", range(2))
def test_no_failure_of_the_disk_loses_an_alert(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weathers(tmp_path / "outbox", seed, 600, monkeypatch)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("seed", range(100, 130))
def test_long_lives_in_any_weather(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lives_and_dies(tmp_path / "dying", seed, 3_000)
    weathers(tmp_path / "failing", seed, 3_000, monkeypatch)
