"""Everything that arrives in one turn of the event loop is judged in one call."""

import asyncio
from collections.abc import Callable, Sequence

from devices.events import DeviceEvent


class Batcher:
    """Collects device events until the loop's next turn.

    No timer and no extra wait: the flush is scheduled with ``call_soon`` at the first event, so it runs after all
    readers that were ready in the same turn. Bounded by what the transports hand on in one turn.

    Parameters
    ----------
    process : callable
        Takes each batch; never an empty one.
    """

    def __init__(self, process: Callable[[Sequence[DeviceEvent]], None]) -> None:
        self._process = process
        self._pending: list[DeviceEvent] = []

    def push(self, event: DeviceEvent) -> None:
        """Take an event; must be called in the loop's thread."""
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(event)

    def flush(self) -> None:
        """Judge what is pending now."""
        if self._pending:
            batch, self._pending = self._pending, []
            self._process(batch)
