"""One run of the acceptance suite: lives of a publisher, independent subscribers, and the verdict over both."""

import itertools
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rig.brokers.child import spawn
from tests.delivery.ledger import Kept, KeptLedger, ReaderLedger, Verdict, compare
from tests.delivery.lines import LineFile
from tests.delivery.nursery import REPOSITORY, Forked, Nursery
from tests.delivery.reader import ReaderPlan
from tests.delivery.traffic import BRIDGE_ID, ROOT
from tests.delivery.worker import Job, Order, WorkerPlan
from tests.support import wait_until

ANSWER_S = 30.0
"""For a start or an answer; it bounds a hang, not a busy machine."""

ALERTS = f"{ROOT}/tag/+/alert"
POSITIONS = f"{ROOT}/tag/+/position"
STATUS = f"{ROOT}/provider/desk/status"
RECEIPTS = f"{ROOT}/bridge/{BRIDGE_ID}/receipt"


class Talker:
    """A child that says lines on its standard output and takes lines on its input."""

    def __init__(self, process: subprocess.Popen[bytes] | Forked, log: Path) -> None:
        self.process = process
        self.log_path = log
        self._rest = b""

    def read_line(self, within_s: float = ANSWER_S) -> bytes:
        """Next line; empty: it ended."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + within_s
        while b"\n" not in self._rest:
            readable, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                pytest.fail(f"no answer within {within_s:g} s: {self.log}")
            read = os.read(self.process.stdout.fileno(), 65_536)
            if not read:
                return b""
            self._rest += read
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    def write_line(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")[-4000:]

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def end(self, number: int = signal.SIGKILL) -> int:
        """End it, if it still runs, and give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
        return self.wait_end()

    def wait_end(self, within_s: float = ANSWER_S) -> int:
        code = self.process.wait(within_s)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return code


class Publishing(Talker):
    """A life of the publisher's process."""

    def wait_ready(self) -> dict[str, Any]:
        return self._answer()

    def ask(self, order: Order, within_s: float = ANSWER_S) -> dict[str, Any]:
        self.write_line(msgspec.json.encode(order))
        return self._answer(within_s)

    def _answer(self, within_s: float = ANSWER_S) -> dict[str, Any]:
        line = self.read_line(within_s)
        assert line, f"the publisher's process ended ({self.process.wait(5)}): {self.log}"
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer

    def stats(self) -> dict[str, Any]:
        return self.ask(Order(do="stats"))

    def submit(self, job: Job) -> None:
        self.ask(Order(do="submit", job=job))

    def wait_for(self, what: str, condition: Any, *, within_s: float = 30) -> dict[str, Any]:
        """Ask for the counters until they meet a condition."""
        deadline = time.monotonic() + within_s
        while not condition(stats := self.stats()):
            if time.monotonic() > deadline:
                pytest.fail(f"{what} did not happen within {within_s:g} s: {stats} {self.log}")
            time.sleep(0.01)
        return stats

    def wait_sent(self, *, within_s: float = 60) -> dict[str, Any]:
        """Wait until every job is done and a broker has everything."""

        def sent(stats: dict[str, Any]) -> bool:
            waits = stats["queued_alerts"] + stats["queued_positions"] + stats["in_flight"]
            return not waits and not stats["jobs"]

        return self.wait_for("delivery of everything", sent, within_s=within_s)

    def close(self, timeout_s: float = 20.0) -> dict[str, Any]:
        """End it in order, once its jobs are done; give its last counters and what was left over."""
        answer = self.ask(Order(do="close", timeout_s=timeout_s), within_s=timeout_s + ANSWER_S)
        self.wait_end()
        return answer


class Reading(Talker):
    """A subscriber's process."""

    def wait_subscribed(self) -> None:
        line = self.read_line()
        assert line == b"subscribed", f"{line!r}: {self.log}"


class Course:
    """Starts processes and ends them; keeps their ledgers."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        self._nursery = nursery
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._talkers: list[Talker] = []
        self._submitted = KeptLedger(LineFile(folder / "submitted"))
        self._confirmed = KeptLedger(LineFile(folder / "confirmed"))
        self.reader = ReaderLedger([])
        self.lives = 0

    def publish(
        self,
        endpoints: str | tuple[tuple[str, ...], ...],
        *jobs: Job,
        wrapped: tuple[str, ...] = (),
        namespace: str | None = None,
        environment: dict[str, str] | None = None,
        **plan: Any,
    ) -> Publishing:
        """Start a publisher and wait until it runs; see `launch`."""
        life = self.launch(endpoints, *jobs, wrapped=wrapped, namespace=namespace, environment=environment, **plan)
        life.wait_ready()
        return life

    def launch(
        self,
        endpoints: str | tuple[tuple[str, ...], ...],
        *jobs: Job,
        wrapped: tuple[str, ...] = (),
        namespace: str | None = None,
        environment: dict[str, str] | None = None,
        **plan: Any,
    ) -> Publishing:
        """Start a publisher; ``wrapped``: a command that runs it, for example ``("faketime", "-f", "+10d")``."""
        paths = ((endpoints,),) if isinstance(endpoints, str) else endpoints
        whole = WorkerPlan(folder=str(self.folder), endpoints=paths, jobs=jobs, **plan)
        self.lives += 1
        log = self.folder / f"worker-{self.lives}.log"
        life = Publishing(self._start("worker", whole, log, wrapped, namespace, environment), log)
        self._talkers.append(life)
        return life

    def read(
        self,
        *endpoints: str,
        topics: tuple[str, ...] = (ALERTS, POSITIONS),
        ledger: str = "reader",
        receipts: bool = False,
        namespace: str | None = None,
        **plan: Any,
    ) -> Reading:
        """Start a subscriber and wait until it has subscribed; several may write ledgers of their own."""
        path = self.folder / ledger
        if not any(file.path == path for file in self.reader.files):
            self.reader.files.append(LineFile(path))
        whole = ReaderPlan(
            endpoints=endpoints,
            ledger=str(path),
            topics=topics,
            receipts_to=RECEIPTS if receipts else None,
            status_to=STATUS,
            **plan,
        )
        log = self.folder / f"{ledger}.log"
        reading = Reading(self._start("reader", whole, log, (), namespace, None), log)
        self._talkers.append(reading)
        reading.wait_subscribed()
        return reading

    def confirmed(self) -> list[Kept]:
        return self._confirmed.refresh()

    def _start(
        self,
        main: str,
        plan: WorkerPlan | ReaderPlan,
        log: Path,
        wrapped: tuple[str, ...],
        namespace: str | None,
        environment: dict[str, str] | None,
    ) -> subprocess.Popen[bytes] | Forked:
        """Fork it from the nursery, unless it must begin as a program of its own."""
        encoded = msgspec.json.encode(plan)
        if not wrapped and environment is None:
            return self._nursery.start(main, encoded, log, namespace)
        return spawn(
            [*wrapped, sys.executable, "-m", f"tests.delivery.{main}", encoded.decode()],
            log=log,
            namespace=namespace,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            environment=environment,
            cwd=REPOSITORY,
        )

    def wait_confirmed(self, count: int) -> None:
        """Wait until so many messages are known to be kept."""
        wait_until(lambda: len(self.confirmed()) >= count, within_s=ANSWER_S, what=f"the commit of {count} messages")

    def verdict(self, *, within_s: float = 30) -> Verdict:
        """Wait for the arrival of all that was confirmed so far, and compare."""
        confirmed = list(self.confirmed())
        wanted = {kept.event_id for kept in confirmed}
        deadline = time.monotonic() + within_s
        while not wanted <= self.reader.refresh().ids and time.monotonic() < deadline:
            time.sleep(0.005)
        found = compare(self._submitted.refresh(), confirmed, self.reader.heard)
        print(f"\n{found}")  # noqa: T201 - shown with -s and on failure
        return found

    def longest_silence_s(self) -> float:
        """Longest time between two arrivals at the subscriber."""
        times = sorted(each.t_mono_ns for each in self.reader.refresh().heard)
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0) / 1e9

    def latencies_ms(self, *, suffix: str = "/alert") -> list[float]:
        """From the making of each message to its first arrival."""
        first: dict[str, float] = {}
        for each in self.reader.refresh().heard:
            if each.topic.endswith(suffix):
                first.setdefault(each.event_id, (each.t_mono_ns - each.submitted_mono_ns) / 1e6)
        return list(first.values())

    def close(self) -> None:
        for talker in self._talkers:
            if talker.is_alive:
                talker.end()
            else:
                talker.wait_end()
