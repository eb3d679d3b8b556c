"""Alerts that wait, by topic: one of a topic at a time is with the broker, so that none overtakes an earlier one."""

import heapq
from collections import deque
from dataclasses import dataclass, field

from bridge.publisher import Message


@dataclass(slots=True, kw_only=True)
class Entry:
    """A message with its number in the outbox and how often it was handed out.

    ``is_unheard``: the broker took it and nobody was subscribed. ``is_too_long``: for the broker's largest packet.
    ``is_durable``: it is on disk. ``is_again``: the broker had it before, and it is sent again for another reason than
    a missing PUBACK (no receipt, a forgotten session, a replay); such go behind the alerts of other topics.
    """

    number: int
    message: Message
    submitted_mono_ns: int
    attempts: int = 0
    is_unheard: bool = False
    is_too_long: bool = False
    is_durable: bool = True
    is_again: bool = False


@dataclass(slots=True)
class _Line:
    """The alerts of one topic, oldest first; ``rests_until`` holds all of them back."""

    entries: deque[Entry] = field(default_factory=deque)
    rests_until_mono_ns: int | None = None


class AlertLane:
    """Which alert is next. A topic whose oldest alert rests, or is with the broker, waits; the others go on.

    One at a time costs a round trip per alert of a topic, of which a tag makes few. With several in flight, one that
    the broker refuses would be overtaken by those behind it.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._ready: list[tuple[bool, int, str]] = []
        self._resting: list[tuple[int, str]] = []
        self._aside: list[Entry] = []
        self._out: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        """How many wait, those aside too; what is with the broker does not count."""
        return self._count + len(self._aside)

    def add(self, entry: Entry) -> None:
        """Put an alert into its topic, by its number: behind the others, but for one that is sent again."""
        line = self._lines.setdefault(entry.message.topic, _Line())
        self._place(line, entry)
        if line.entries[0] is entry:
            self._offer(entry.message.topic, line)

    def find_next(self, now_mono_ns: int) -> Entry | None:
        """Hand out the oldest alert of those topics that do not wait."""
        while self._resting and self._resting[0][0] <= now_mono_ns:
            self._rouse(heapq.heappop(self._resting)[1])
        while self._ready:
            _, number, topic = heapq.heappop(self._ready)
            line = self._lines.get(topic)
            # An older one that came in before the head was handed out was offered as well.
            if line is None or topic in self._out or not line.entries or line.entries[0].number != number:
                continue
            if line.rests_until_mono_ns is not None:
                continue
            self._out.add(topic)
            self._count -= 1
            return line.entries.popleft()
        return None

    def settle(self, entry: Entry) -> None:
        """Let the next of a topic go: this one is delivered."""
        topic = entry.message.topic
        line = self._lines[topic]
        self._out.discard(topic)
        if line.entries:
            self._offer(topic, line)
        else:
            del self._lines[topic]

    def put_back(self, entry: Entry, rests_until_mono_ns: int | None = None) -> None:
        """Take an alert back to its place in its topic, to be sent again, at once or after a rest."""
        topic = entry.message.topic
        line = self._lines[topic]
        self._out.discard(topic)
        self._place(line, entry)
        if rests_until_mono_ns is None:
            self._offer(topic, line)
        else:
            line.rests_until_mono_ns = rests_until_mono_ns
            heapq.heappush(self._resting, (rests_until_mono_ns, topic))

    def set_aside(self, entry: Entry) -> None:
        """Keep an alert without holding up its topic, until ``bring_back``."""
        self.settle(entry)
        self._aside.append(entry)

    def bring_back(self) -> None:
        """Give the alerts aside their old places."""
        aside, self._aside = self._aside, []
        for entry in aside:
            self.add(entry)

    def rouse_all(self) -> None:
        """End every rest now."""
        resting, self._resting = self._resting, []
        for _, topic in resting:
            self._rouse(topic)

    def length_of(self, topic: str) -> int:
        """How many of a topic wait here; what is with the broker, and what is aside, does not count."""
        line = self._lines.get(topic)
        return len(line.entries) if line is not None else 0

    def is_resting(self, topic: str) -> bool:
        """Whether a topic is held back."""
        line = self._lines.get(topic)
        return line is not None and line.rests_until_mono_ns is not None

    def shorten(self, topic: str, keep: int) -> list[Entry]:
        """Take the youngest of a topic out, so that ``keep`` stay; those that were sent before stay in any case."""
        entries = self._lines[topic].entries
        taken: list[Entry] = []
        while len(entries) > keep and not (entries[-1].is_again or entries[-1].attempts):
            taken.append(entries.pop())
        self._count -= len(taken)
        return taken

    @property
    def resting_count(self) -> int:
        """How many topics are held back."""
        return len(self._resting)

    @property
    def can_send(self) -> bool:
        """Whether some topic waits for nothing; rests that are over but were not noticed yet do not count."""
        return bool(self._ready)

    @property
    def is_pressing(self) -> bool:
        """Whether some alert waits for nothing but the PUBACK of the one before it."""
        return any(self._lines[topic].entries for topic in self._out)

    @property
    def find_rest_mono_ns(self) -> int | None:
        """When the first rest is over."""
        return self._resting[0][0] if self._resting else None

    @property
    def find_oldest_mono_ns(self) -> int | None:
        """When the oldest of those that wait was submitted."""
        heads = (line.entries[0] for line in self._lines.values() if line.entries)
        return min((entry.submitted_mono_ns for entry in (*heads, *self._aside)), default=None)

    def _place(self, line: _Line, entry: Entry) -> None:
        entries = line.entries
        at = len(entries)
        while at and entries[at - 1].number > entry.number:
            at -= 1
        entries.insert(at, entry)
        self._count += 1

    def _rouse(self, topic: str) -> None:
        line = self._lines[topic]
        line.rests_until_mono_ns = None
        self._offer(topic, line)

    def _offer(self, topic: str, line: _Line) -> None:
        if topic not in self._out and line.rests_until_mono_ns is None:
            head = line.entries[0]
            heapq.heappush(self._ready, (head.is_again, head.number, topic))
