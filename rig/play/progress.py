"""One line on a terminal that tells how far a run is, once it takes longer than a moment."""

import sys
from types import TracebackType
from typing import Final, Self

from devices.clock import Clock, SystemClock

AFTER_S: Final = 2.0
"""Runs that take less show nothing, seconds: a line that flashes up is noise."""

_EVERY_S: Final = 0.2


class ProgressLine:
    """The line; nothing where standard error is no terminal.

    Parameters
    ----------
    quiet : bool
    clock : Clock, optional
    """

    def __init__(self, *, quiet: bool = False, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._began_ns = self._clock.mono_ns()
        self._shown_ns = 0
        self._is_on = not quiet and sys.stderr.isatty()
        self._width = 0

    def show(self, t_s: float, end_s: float) -> None:
        """Tell how far the scenario is."""
        now = self._clock.mono_ns()
        if now - self._shown_ns >= _EVERY_S * 1e9:
            self._write(f"{t_s:.0f} of {end_s:.0f} s of the scenario")

    def say(self, text: str) -> None:
        """Tell what is done now."""
        self._write(text)

    def _write(self, text: str) -> None:
        now = self._clock.mono_ns()
        took_s = (now - self._began_ns) / 1e9
        if not self._is_on or took_s < AFTER_S:
            return
        self._shown_ns = now
        line = f"{took_s:.0f} s: {text}"
        sys.stderr.write(f"\r{line:<{self._width}}")
        sys.stderr.flush()
        self._width = len(line)

    def __enter__(self) -> Self:
        """Begin to count."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe the line."""
        if self._width:
            sys.stderr.write(f"\r{'':<{self._width}}\r")
            sys.stderr.flush()
