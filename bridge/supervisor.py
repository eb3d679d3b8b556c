"""Ends a process whose loops do not turn any more, so that whatever started it starts it again.

A thread that hangs looks alive: the sockets stay open, the broker keeps the will to itself, and nobody learns that no
alert goes out. What is on disk survives the end; what hangs does not mend itself.
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)

EXIT_CODE = 70
"""``EX_SOFTWARE`` of sysexits.h: an internal error. Service managers start it again; a person finds it in the log."""

LIMIT_S = 60.0
"""A loop that has not turned for so long hangs. A dying disk holds a commit for half a minute and may recover; nothing
that works needs a minute. Shorter ends bridges on machines that swap; longer leaves alerts unsent for as long."""

CHECK_S = 1.0
"""How often the pulses are read; the end comes this much late at most."""

SUSPENDED_S = 5.0
"""A check that comes this late was not run by the machine: suspended, paused, or starved. The same befell the loops, so
they are given their whole time again."""

BACKSTOP_FACTOR = 2.0
"""Code that holds the interpreter's lock stops this thread too; then the C library's watchdog ends the process after so
many times the limit, with its own exit code 1. So it does when a process goes on that was paused for longer."""


@dataclass(slots=True, kw_only=True)
class Pulse:
    """Of one loop; ``beat`` is called at each of its turns, from its own thread."""

    name: str
    limit_s: float
    _last_s: float = field(default_factory=time.monotonic)
    _is_watched: bool = True

    def beat(self) -> None:
        """Say that the loop turns."""
        self._last_s = time.monotonic()

    def stop(self) -> None:
        """Say that the loop has ended in order, and is to be watched no more."""
        self._is_watched = False

    def find_silence_s(self, now_s: float) -> float | None:
        """Tell for how long there was no beat, if that is too long."""
        silent_s = now_s - self._last_s
        return silent_s if self._is_watched and silent_s > self.limit_s else None


class Supervisor:
    """Watches pulses from a thread of its own.

    Parameters
    ----------
    end : callable or None
        Given the reason when a pulse stops; None: print the stacks of all threads and end the process at once.
    check_s : float
    """

    def __init__(self, *, end: Callable[[str], None] | None = None, check_s: float = CHECK_S) -> None:
        self._end = end or _end_process
        self._has_backstop = end is None
        self._check_s = check_s
        self._lock = threading.Lock()
        self._pulses: list[Pulse] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def watch(self, name: str, limit_s: float = LIMIT_S) -> Pulse:
        """Begin to watch a loop; its first beat counts from now."""
        pulse = Pulse(name=name, limit_s=limit_s)
        with self._lock:
            self._pulses.append(pulse)
        return pulse

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Watch nothing any more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            checked_s = time.monotonic()
            while not self._stop.wait(self._check_s):
                now_s = time.monotonic()
                if now_s - checked_s > self._check_s + SUSPENDED_S:
                    self._forgive(now_s - checked_s)
                checked_s = now_s
                self._set_backstop()
                reason = self._find_reason(now_s)
                if reason is not None:
                    self._end(reason)
                    return
        finally:
            if self._has_backstop:
                faulthandler.cancel_dump_traceback_later()

    def _find_reason(self, now_s: float) -> str | None:
        with self._lock:
            for pulse in self._pulses:
                silent_s = pulse.find_silence_s(now_s)
                if silent_s is not None:
                    return f"{pulse.name} has not turned for {silent_s:.0f} s (limit {pulse.limit_s:g} s)"
        return None

    def _forgive(self, late_s: float) -> None:
        _log.warning("the whole process stood still for %.0f s; the machine was suspended or overloaded", late_s)
        with self._lock:
            for pulse in self._pulses:
                pulse.beat()

    def _set_backstop(self) -> None:
        if self._has_backstop:
            with self._lock:
                longest_s = max((pulse.limit_s for pulse in self._pulses), default=LIMIT_S)
            faulthandler.dump_traceback_later(BACKSTOP_FACTOR * longest_s, exit=True, file=2)


async def beat_in_loop(pulse: Pulse) -> None:
    """Beat for the event loop that runs this, until cancelled."""
    try:
        while True:
            pulse.beat()
            await asyncio.sleep(CHECK_S)
    finally:
        pulse.stop()


def _end_process(reason: str) -> None:
    """End hard: nothing is flushed, closed or waited for, since any of that may hang as well."""
    # Straight to the descriptor: a logger's lock may be held by the thread that hangs.
    with contextlib.suppress(OSError):
        os.write(2, f"tagrig: {reason}; the process ends with code {EXIT_CODE}. All threads:\n".encode())
        faulthandler.dump_traceback(file=2, all_threads=True)
    os._exit(EXIT_CODE)
