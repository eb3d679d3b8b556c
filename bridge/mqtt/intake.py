"""Between ``submit`` and the publisher's thread: what was handed over and is not in the outbox yet."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.errors import PublisherClosedError
from bridge.publisher import Lane, Message

MAX_BATCH = 1_000
"""Messages of one commit. More delays the alerts among them behind a long transaction; fewer costs more fsyncs."""


@dataclass(slots=True)
class Commit:
    """Somebody waits for the commit of his messages."""

    done: threading.Event = field(default_factory=threading.Event)
    is_durable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    messages: tuple[Message, ...]
    waits: Commit | None


class Intake:
    """Thread-safe. Positions have a lane of their own: beyond ``max_positions`` the oldest is dropped and counted.

    The rest is not bounded here: what makes it is slower than any disk, and a thread that takes nothing for long is
    ended by the supervisor.
    """

    def __init__(self, *, max_positions: int) -> None:
        self._lock = threading.Lock()
        self._items: deque[_Item] = deque()
        self._positions: deque[Message] = deque()
        self._max_positions = max_positions
        self._counts = dict.fromkeys(Lane, 0)
        self._is_closed = False
        self.submitted = 0
        self.dropped = 0

    def put(self, messages: Sequence[Message], waits: Commit | None = None) -> None:
        """Hand over.

        Raises
        ------
        PublisherClosedError
            ``close`` was called.
        """
        with self._lock:
            if self._is_closed:
                raise PublisherClosedError(f"a message for {messages[0].topic} was submitted after close")
            self.submitted += len(messages)
            if waits is None and len(messages) == 1 and messages[0].lane is Lane.POSITION and not messages[0].saves:
                self._positions.append(messages[0])
                if len(self._positions) > self._max_positions:
                    self._positions.popleft()
                    self.dropped += 1
                return
            if self._positions and any(message.lane is Lane.POSITION for message in messages):
                # Positions that came before this one stay before it: it goes by the other lane for what it saves.
                self._items.append(_Item(messages=tuple(self._positions), waits=None))
                self._counts[Lane.POSITION] += len(self._positions)
                self._positions.clear()
            self._items.append(_Item(messages=tuple(messages), waits=waits))
            for message in messages:
                self._counts[message.lane] += 1

    def check_open(self, what: str) -> None:
        """Refuse what comes after ``close``.

        Raises
        ------
        PublisherClosedError
            ``close`` was called.
        """
        if self._is_closed:
            raise PublisherClosedError(f"{what} was asked for after close")

    def take(self) -> tuple[list[Message], list[Commit]]:
        """Take a batch, oldest first; positions last. It counts as waiting until ``note_kept``."""
        messages: list[Message] = []
        waiting: list[Commit] = []
        with self._lock:
            while self._items and len(messages) < MAX_BATCH:
                item = self._items.popleft()
                messages += item.messages
                if item.waits is not None:
                    waiting.append(item.waits)
            while self._positions and len(messages) < MAX_BATCH:
                messages.append(self._positions.popleft())
                self._counts[Lane.POSITION] += 1
        return messages, waiting

    def note_kept(self, messages: Sequence[Message]) -> None:
        """Count what ``take`` gave no more: the outbox does from now on."""
        with self._lock:
            for message in messages:
                self._counts[message.lane] -= 1

    def close(self) -> None:
        """Take nothing more; what is here can still be taken."""
        with self._lock:
            self._is_closed = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here."""
        return not self._items and not self._positions

    def counts(self) -> dict[Lane, int]:
        """How many wait, by lane."""
        with self._lock:
            counts = dict(self._counts)
            counts[Lane.POSITION] += len(self._positions)
            return counts
