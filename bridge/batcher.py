"""Everything that arrives in one turn of the event loop is judged in one call."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType

from devices.events import DeviceEvent

MAX_BATCH = 1_000
"""Events judged in one turn of the loop: 0.3 s on a slow machine. A bridge that is behind, after a stall or with
thousands of devices at once, would else judge for a minute, and her warnings and the supervisor would wait as long."""


class Failures:
    """Errors of ours, kept while the rest of the work is done, then raised together.

    ``with failures:`` around what concerns one device: its error must not cost the others their alerts.
    """

    __slots__ = ("_errors",)

    def __init__(self) -> None:
        self._errors: list[Exception] = []

    def __enter__(self) -> None:
        """Begin a piece of work."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        """Keep the error of a piece of work."""
        if not isinstance(error, Exception):
            return False
        self._errors.append(error)
        return True

    def raise_all(self) -> None:
        """Raise what was kept.

        Raises
        ------
        ExceptionGroup
            There was at least one error.
        """
        if self._errors:
            raise ExceptionGroup("internal error while judging, please report it", self._errors)


class Batcher:
    """Collects device events until the loop's next turn.

    No timer and no extra wait: the turn is scheduled with ``call_soon`` at the first event, so it runs after all
    readers that were ready. What is beyond ``MAX_BATCH`` is judged in the next turn, in order.

    Parameters
    ----------
    process : callable
        Takes each batch; never an empty one.
    on_failure : callable
        Told what ``process`` raised. The loop would only log it and go on, with alerts lost that nobody misses.
    """

    def __init__(
        self, process: Callable[[Sequence[DeviceEvent]], None], on_failure: Callable[[Exception], None]
    ) -> None:
        self._process = process
        self._on_failure = on_failure
        self._pending: list[DeviceEvent] = []

    def push(self, event: DeviceEvent) -> None:
        """Take an event; must be called in the loop's thread."""
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._turn)
        self._pending.append(event)

    def flush(self) -> None:
        """Judge all that is pending now."""
        while self._pending:
            self._judge()

    def _turn(self) -> None:
        self._judge()
        if self._pending:
            asyncio.get_running_loop().call_soon(self._turn)

    def _judge(self) -> None:
        batch, self._pending = self._pending[:MAX_BATCH], self._pending[MAX_BATCH:]
        if batch:
            try:
                self._process(batch)
            except Exception as exc:  # noqa: BLE001 - handed on, and ends the bridge
                self._on_failure(exc)
