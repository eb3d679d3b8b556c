"""Messages kept in memory until the brokers have them: what waits is lost with the process."""

from collections.abc import Sequence
from pathlib import Path

from bridge.outbox.ballast import Ballast
from bridge.outbox.disk import Disk
from bridge.outbox.durable import DurableOutbox
from bridge.outbox.port import TroubleListener
from bridge.outbox.store import OutboxStore
from bridge.publisher import Message
from devices.clock import Clock, SystemClock

KEPT_ROWS = 20_000
"""Messages that were delivered and are kept for receipts and replays: 30 MB."""

PURGE_EVERY = 1_000
"""Messages after which older ones are deleted, 2 ms."""

NEVER_NS = 2**62
"""Age does not matter here, only number."""

NO_BALLAST = Ballast(Path("/"), 0, lambda _: None)


class MemoryOutbox(DurableOutbox):
    """The same tables without a file, so that both behave alike; nothing in it is ever durable.

    Parameters
    ----------
    max_positions : int
        Positions that may wait. At 1.5 KB each the usual 10,000 are 15 MB, or 17 minutes of ten tags at 1 Hz.
    paths : int
        1 or 2 brokers.
    clock : Clock
    on_trouble : callable
        Told when positions are dropped; there is no other trouble.
    """

    def __init__(
        self,
        *,
        max_positions: int,
        paths: int = 1,
        clock: Clock | None = None,
        on_trouble: TroubleListener = lambda _: None,
    ) -> None:
        store = OutboxStore.open(None)
        super().__init__(
            Disk(store, reopen=lambda _: OutboxStore.open(None), ballast=NO_BALLAST, on_trouble=on_trouble),
            clock=clock or SystemClock(),
            paths=paths,
            max_positions=max_positions,
            keep_ns=NEVER_NS,
            on_trouble=on_trouble,
            is_durable=False,
        )
        self._purged_at = 0

    def write(self, messages: Sequence[Message], now_mono_ns: int) -> bool:
        """See ``Outbox.write``; always False."""
        super().write(messages, now_mono_ns)
        if self._next_number - self._purged_at >= PURGE_EVERY:
            self._purged_at = self._next_number
            self._retention.purge_below(self._disk, now_mono_ns, 2 * PURGE_EVERY, self._next_number - KEPT_ROWS)
        return False
