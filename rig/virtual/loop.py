"""An asyncio loop on virtual time.

::

    something is ready ------------------------------> handle it
    nothing is, but a gate is busy ------------------> wait really, for sockets and for the gates
    nothing is, and nobody works --------------------> jump to whatever is due first: a timer, or a thread's deadline

A *gate* says that somebody outside of the loop is at work on something that must happen before time passes: a thread,
a broker that owes an answer. One that stays busy for too long breaks the run, by name: nothing hangs.
"""

import asyncio
import contextvars
import math
import os
import selectors
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

from rig.emulator.clock import NS_PER_S
from rig.errors import BenchBrokenError
from rig.virtual.clock import VirtualClock

PATIENCE_S: Final = 30.0
"""How long a gate may stay busy while nothing happens, real seconds: far above any commit of a slow disk, below the
bridge's own supervisor, which would end the process. Less breaks runs on machines that swap."""

EXECUTOR_GRACE_S: Final = 0.25
"""How long a call in a thread of the pool holds time still, real seconds. A bridge that stops waits in one for its
publisher, which may wait for time itself. Less lets time pass while an order is read."""

_ROUNDING_NS: Final = 0.01
"""What a timeout may be too long by because it is a difference of floating point seconds, nanoseconds."""

_IDLE_LOOK_S: Final = 0.02
"""How often a broken run looks for what its ending still does, real seconds."""

_ASK_AGAIN: Final = 20
"""How often the gates are asked at once while threads keep waking; then they get a moment."""

THREAD: Final = "a thread beside the loop"
"""Stands behind "waited for" where a thread that waits by this clock does not come to its wait."""

ResultT = TypeVar("ResultT")
Gate = Callable[[], bool]
"""Whether somebody is at work."""


class _Selector(selectors.BaseSelector):
    """The loop's selector: all but ``select`` is the real one's."""

    def __init__(self, clock: VirtualClock) -> None:
        self._real = selectors.DefaultSelector()
        self._clock = clock
        self._poked = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._real.register(self._poked, selectors.EVENT_READ)
        self.gates: dict[str, Gate] = {}
        self.calls = 0
        self._calls_since_s: float | None = None
        self.broken: BenchBrokenError | None = None
        self.on_broken: Callable[[], object] = lambda: None
        self.jumps = 0
        clock.on_poke(self.poke)

    def poke(self) -> None:
        """Have the loop look at its gates; from any thread."""
        os.eventfd_write(self._poked, 1)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._take(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        timer_mono_ns = (
            None if timeout is None else self._clock.mono_ns() + math.ceil(timeout * NS_PER_S - _ROUNDING_NS)
        )
        return self._wait(timer_mono_ns)

    def _wait(self, timer_mono_ns: int | None) -> list[tuple[selectors.SelectorKey, int]]:
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            busy = self._find_busy()
            # After the gates: what one of them wrote before it became idle is found.
            ready = self._take(0)
            if ready:
                return ready
            if busy is None:
                due = [each for each in (timer_mono_ns, self._clock.find_due_mono_ns) if each is not None]
                if due:
                    first = min(due)
                    self.jumps += 1
                    self._clock.advance(first)
                    if timer_mono_ns is not None and timer_mono_ns <= first:
                        return []
                    continue
                busy = "something that is due: nothing is, and nobody works"
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                self._break(busy)
                return []
            ready = self._take(min(left_s, EXECUTOR_GRACE_S if self.broken is None else _IDLE_LOOK_S))
            if ready:
                return ready
            if self.broken is not None and timer_mono_ns is not None:
                self._clock.advance(timer_mono_ns)
                return []

    def _find_busy(self) -> str | None:
        busy: str | None = THREAD
        for _ in range(_ASK_AGAIN):
            turns = self._clock.turns
            busy = self._find_busy_now()
            # A thread that woke while the gates were asked may have told them things by halves.
            if turns == self._clock.turns:
                return busy
        return busy or THREAD

    def _find_busy_now(self) -> str | None:
        if self._clock.is_any_busy():
            return THREAD
        for name, is_busy in self.gates.items():
            if is_busy():
                return name
        if self._clock.is_any_busy():
            return THREAD
        return "a call in the pool of threads" if self._is_calling() else None

    def _is_calling(self) -> bool:
        if not self.calls:
            self._calls_since_s = None
            return False
        now_s = time.monotonic()
        if self._calls_since_s is None:
            self._calls_since_s = now_s
        return now_s - self._calls_since_s < EXECUTOR_GRACE_S

    def _break(self, what: str) -> None:
        if self.broken is None:
            self.broken = BenchBrokenError(
                f"virtual time stands still: waited {PATIENCE_S:g} s for {what}. Next: read bench.log in the run folder"
            )
            self.gates.clear()
            self.on_broken()

    def _take(self, timeout_s: float) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(timeout_s)
        for at, (key, _) in enumerate(ready):
            if key.fd == self._poked:
                os.eventfd_read(self._poked)
                del ready[at]
                break
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._clock.close()
        self._real.close()
        os.close(self._poked)


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. Sockets, threads and processes are real; only time is not.

    Parameters
    ----------
    clock : VirtualClock
        This loop's own from now on.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._virtual = _Selector(clock)
        self._virtual_clock = clock
        super().__init__(self._virtual)
        # what is due at this very nanosecond is due
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Seconds on the virtual clock."""
        return self._virtual_clock.mono_ns() / NS_PER_S

    def add_gate(self, name: str, is_busy: Gate) -> None:
        """Hold time still while ``is_busy`` says so. ``name`` stands behind "waited for"."""
        self._virtual.gates[name] = is_busy

    def remove_gate(self, name: str) -> None:
        """Ask it no more; harmless where there is none."""
        self._virtual.gates.pop(name, None)

    def poke(self) -> None:
        """Have the gates looked at; from any thread."""
        self._virtual.poke()

    @property
    def jumps(self) -> int:
        """How often time has jumped."""
        return self._virtual.jumps

    @property
    def find_failure(self) -> BenchBrokenError | None:
        """Why time stood still for too long; None: it did not."""
        return self._virtual.broken

    def on_broken(self, call: Callable[[], object]) -> None:
        """Have ``call`` called in the loop's thread when time stands still for too long."""
        self._virtual.on_broken = call

    def run_in_executor(  # type: ignore[override]  # typeshed gives the base a variadic callable
        self, executor: Executor | None, func: Callable[..., ResultT], *args: Any
    ) -> asyncio.Future[ResultT]:
        """Run in the pool; time stands still meanwhile, up to a bound."""
        self._virtual.calls += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._called)
        return future

    def _called(self, _future: asyncio.Future[Any]) -> None:
        self._virtual.calls -= 1


def run_virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, ResultT]], clock: VirtualClock) -> ResultT:
    """Run a coroutine to its end on virtual time, as ``asyncio.run`` does.

    Raises
    ------
    BenchBrokenError
        Time stood still for too long.
    """
    loop = VirtualLoop(clock)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        task: asyncio.Task[ResultT] | None = None

        async def watched() -> ResultT:
            nonlocal task
            task = asyncio.current_task()
            assert task is not None
            loop.on_broken(task.cancel)
            return await main(loop)

        try:
            return runner.run(watched(), context=contextvars.copy_context())
        except asyncio.CancelledError:
            if loop.find_failure is not None:
                raise loop.find_failure from None
            raise
