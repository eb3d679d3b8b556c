"""What the bench does in the course of a run: outages and faults, begun and ended at their times, and written down."""

import heapq
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from devices.clock import Clock
from rig.faults import apply
from rig.faults.catalogue import PlannedFault, plan_fault
from rig.faults.port import FaultBench
from rig.runs.folder import EVENTS_FILE, BenchEvent
from rig.scenario import Scenario

Step = Callable[[], Awaitable[None]]


class EventLog:
    """``events.jsonl``, line by line.

    Parameters
    ----------
    folder : Path
    t_s : callable
        Gives the scenario's time at a reading of the clock.
    clock : Clock
    """

    def __init__(self, folder: Path, t_s: Callable[[int], float], clock: Clock) -> None:
        self._file = (folder / EVENTS_FILE).open("wb", buffering=0)
        self._t_s = t_s
        self._clock = clock
        self.applied: list[str] = []

    def note(self, event: BenchEvent) -> None:
        """Write a line; its times are put in here."""
        now = self._clock.mono_ns()
        whole = msgspec.structs.replace(event, t_s=round(self._t_s(now), 6), t_mono_ns=now)
        if event.what == "fault_applied":
            self.applied.append(event.fault)
        self._file.write(msgspec.json.encode(whole) + b"\n")

    def close(self) -> None:
        """End the file."""
        self._file.close()


def plan_faults(scenario: Scenario, seed: int) -> list[PlannedFault]:
    """Check the faults of a scenario.

    Raises
    ------
    FaultError
        One of them is not possible as it stands.
    """
    return [
        plan_fault(
            fault.id,
            at_s=fault.at_s,
            lasts_s=fault.lasts_s,
            device=fault.device,
            parameters=fault.options,
            number=number,
            seed=seed,
        )
        for number, fault in enumerate(scenario.fault)
    ]


class Script:
    """Everything that is done to the bench, by time.

    Parameters
    ----------
    scenario : Scenario
    bench : FaultBench
    events : EventLog
    seed : int
    """

    def __init__(self, scenario: Scenario, bench: FaultBench, events: EventLog, seed: int) -> None:
        self._bench = bench
        self._events = events
        self._order = itertools.count()
        self._steps: list[tuple[float, int, Step]] = []
        for outage in scenario.broker_outage:
            self._add(outage.at_s, self._kill_broker)
            self._add(outage.at_s + outage.lasts_s, self._start_broker)
        for fault in plan_faults(scenario, seed):
            self._add(fault.at_s, self._beginning(fault))

    async def play(self, sleep_until_s: Callable[[float], Awaitable[None]], end_s: float) -> None:
        """Do everything in its time until the end; what is under way then is left as it is."""
        while self._steps and self._steps[0][0] <= end_s:
            at_s, _, step = heapq.heappop(self._steps)
            await sleep_until_s(at_s)
            await step()
        await sleep_until_s(end_s)

    def _add(self, at_s: float, step: Step) -> None:
        heapq.heappush(self._steps, (at_s, next(self._order), step))

    async def _kill_broker(self) -> None:
        if self._bench.broker is not None:
            await self._bench.broker.kill()
            self._note("broker_down", detail="the broker is killed")

    async def _start_broker(self) -> None:
        if self._bench.broker is not None:
            await self._bench.broker.start()
            self._note("broker_up", detail="the broker is started again")

    def _beginning(self, fault: PlannedFault) -> Step:
        async def begin() -> None:
            obstacle = apply.find_obstacle(self._bench, fault)
            if obstacle is not None:
                self._tell(fault, "fault_skipped", obstacle)
                return
            end = await apply.begin(self._bench, fault)
            self._tell(fault, "fault_applied")
            if fault.end_s is not None:
                self._add(fault.end_s, self._ending(fault, end))

        return begin

    def _ending(self, fault: PlannedFault, end: apply.End | None) -> Step:
        async def finish() -> None:
            if end is not None:
                await end()
            self._tell(fault, "fault_ended")

        return finish

    def _tell(self, fault: PlannedFault, what: str, detail: str = "") -> None:
        self._events.note(
            msgspec.convert(
                {
                    "t_s": 0.0,
                    "t_mono_ns": 0,
                    "what": what,
                    "fault": fault.id,
                    "device": fault.device,
                    "parameters": dict(fault.parameters),
                    "detail": detail or fault.entry.what,
                },
                BenchEvent,
            )
        )

    def _note(self, what: str, detail: str) -> None:
        self._events.note(msgspec.convert({"t_s": 0.0, "t_mono_ns": 0, "what": what, "detail": detail}, BenchEvent))
