"""How much of what waits on disk is in memory: a stretch ahead of what is sent, so that memory stays bounded.

Alerts are loaded by topic, a few ahead each. What does not fit stays on disk, and the topic is *spilled* from that
number on; it is loaded further as its line gets short. So neither a long backlog of one topic nor a topic that nobody
reads delays another's alerts. Positions are one queue, loaded in order.
"""

from itertools import islice

from bridge.errors import OutboxRowError
from bridge.outbox import schema as sql
from bridge.outbox.alert_lane import Entry
from bridge.outbox.disk import Disk
from bridge.outbox.path_queue import PathQueue
from bridge.outbox.rows import Loaded, StoredRow
from bridge.publisher import Lane
from devices.clock import Clock

LINE_MAX = 64
"""Alerts of a topic in memory. One at a time is sent, so a load of half of them lasts 32 round trips."""

ALERTS_MAX = 10_000
"""Alerts of all topics in memory that do not rest: 15 MB. Fewer, and with many topics each load fetches too little."""

POSITIONS_MAX = 2_000
"""Positions in memory, 3 MB, and loads of a tenth: a load takes about 2 ms, which an alert may have to wait for."""

DISCOVER_AT_ONCE = 50
"""Topics that are looked for at a time, 1 ms."""

LOAD_AT_ONCE = 4
"""Topics that are loaded at a time: 256 rows, 2 to 5 ms."""

REFILL_EVERY_NS = 10_000_000
"""How often more is loaded while something can be sent; when nothing can, at once. More often, and the loads for many
topics would hold up the reading of PUBACKs."""


class Backlog:
    """Moves one path's messages from disk to its queue.

    Parameters
    ----------
    path : int
    queue : PathQueue
    disk : Disk
    clock : Clock
        How old is what an earlier start left.
    may_be_sent : bool
        The process before ended without order: what it handed out may have arrived, so the next is no first attempt.
    """

    def __init__(self, path: int, queue: PathQueue, disk: Disk, clock: Clock, *, may_be_sent: bool) -> None:
        self._path = path
        self._queue = queue
        self._disk = disk
        self._clock = clock
        self._may_be_sent = may_be_sent
        self._first_own_number = 0
        self._discover_after: str | None = None
        self._spilled: dict[str, int] = {}
        self._hungry: dict[str, None] = {}
        self._unread: dict[str, None] = {}
        self._positions_from: int | None = None
        self._unread_positions_from: int | None = None
        self._refill_mono_ns = 0

    def begin(self, first_own_number: int) -> None:
        """Begin with what an earlier start left: everything below a number."""
        self._first_own_number = first_own_number
        self._discover_after = ""
        self._positions_from = 0

    def offer_alert(self, entry: Entry) -> None:
        """Take a new alert into memory, unless earlier ones of its topic, or too many, are on disk."""
        topic = entry.message.topic
        if topic in self._spilled:
            self.settled(topic)
            return
        if self._discover_after is not None and topic > self._discover_after:
            found = self._disk.ask(sql.FIRST_OF_TOPIC[self._path], (topic,))
            if found and found[0][0] < entry.number and not self._queue.holds(found[0][0]):
                self._spill(topic, 0)
                return
        lane = self._queue.alerts
        length = lane.length_of(topic)
        if length >= LINE_MAX or self._is_full or (length and lane.is_resting(topic)):
            self._spill(topic, entry.number)
            return
        self._queue.add_alert(entry)

    def offer_position(self, entry: Entry) -> None:
        """Take a new position into memory, unless earlier ones, or too many, are on disk."""
        if self._positions_from is not None:
            return
        if len(self._queue.positions) >= POSITIONS_MAX:
            self._positions_from = entry.number
            return
        with self._queue.lock:
            self._queue.positions.append(entry)

    @property
    def _is_full(self) -> bool:
        lane = self._queue.alerts
        return len(lane) - lane.resting_count >= ALERTS_MAX

    def _spill(self, topic: str, number: int) -> None:
        self._spilled[topic] = min(number, self._spilled.get(topic, number))
        self._hungry[topic] = None

    def settled(self, topic: str) -> None:
        """Load more of a topic soon, if its line got short."""
        if topic in self._spilled and self._queue.alerts.length_of(topic) < LINE_MAX // 2:
            self._hungry[topic] = None

    def rests(self, topic: str) -> None:
        """Keep no more than the head of a topic that is held back: others need the room."""
        taken = self._queue.shorten(topic, 1)
        if taken:
            number = taken[-1].number
            self._spilled[topic] = min(number, self._spilled.get(topic, number))

    @property
    def has_work(self) -> bool:
        """Whether ``refill`` may bring something in now."""
        can_read = self._disk.can_read
        more = (self._discover_after is not None and can_read) or self._hungry or (self._unread and can_read)
        return bool(more) and not self._is_full

    @property
    def is_behind(self) -> bool:
        """Whether there may be something to send that is not in memory yet."""
        unread = self._positions_from is not None and not self._queue.positions and self._disk.can_read
        return self.has_work or unread

    @property
    def has_positions(self) -> bool:
        """Whether positions are on disk only."""
        return self._positions_from is not None

    def refill(self, now_mono_ns: int) -> None:
        """Load a little of what there is room for."""
        if self._positions_from is not None:
            self.refill_positions()
        if not self.has_work:
            return
        if self._queue.alerts.can_send and now_mono_ns < self._refill_mono_ns:
            return
        self._refill_mono_ns = now_mono_ns + REFILL_EVERY_NS
        if self._discover_after is not None and self._disk.can_read and not self._is_full:
            self._discover(self._discover_after)
        if self._unread and self._disk.can_read:
            self._hungry.update(self._unread)
            self._unread.clear()
        for topic in list(islice(self._hungry, LOAD_AT_ONCE)):
            if self._is_full:
                break
            del self._hungry[topic]
            self._load(topic)

    def _discover(self, after: str) -> None:
        """Find the next topics of which something waits; each costs one step in an index, however much waits."""
        for _ in range(DISCOVER_AT_ONCE):
            topic = self._find_topic(after)
            if topic is None:
                if self._disk.can_read:
                    self._discover_after = None
                return
            self._spill(topic, 0)
            self._discover_after = after = topic

    def _find_topic(self, after: str) -> str | None:
        while True:
            try:
                return self._disk.find_text(sql.NEXT_TOPIC[self._path], (after,))
            except OutboxRowError:
                # It is no text, so only the number of its row leads past it.
                found = self._disk.ask(sql.NUMBER_OF_NEXT_TOPIC[self._path], (after,))
                if not found or not self._disk.set_aside_number(self._path, found[0][0]):
                    return None
                self._queue.forget_one(Lane.ALERT)

    def _load(self, topic: str) -> None:
        start = self._spilled.get(topic)
        lane = self._queue.alerts
        length = lane.length_of(topic)
        if start is None or length >= LINE_MAX // 2 or (length and lane.is_resting(topic)):
            return
        limit = LINE_MAX
        on_disk = self._sound(self._disk.load(sql.LOAD_TOPIC[self._path], (topic, start), limit), Lane.ALERT)
        rows = self._with_memory(
            on_disk,
            self._disk.memory.select(
                self._path, start, limit, lambda row: row.message.lane is Lane.ALERT and row.message.topic == topic
            ),
        )
        for row in rows[:limit]:
            if self._is_news(row.number):
                self._queue.add_alert(self._entry(row))
        if on_disk is None:
            # What is in memory goes out without what the disk does not give; that comes once it does.
            self._unread[topic] = None
        elif len(rows) < limit:
            del self._spilled[topic]
        else:
            self._spilled[topic] = rows[limit - 1].number + 1
            # All of them may be here or delivered already.
            self.settled(topic)

    def refill_positions(self) -> None:
        """Load positions, if few are left in memory."""
        start = self._positions_from
        limit = POSITIONS_MAX // 10
        if start is None or len(self._queue.positions) >= limit:
            return
        if self._unread_positions_from is not None and self._disk.can_read:
            start, self._unread_positions_from = self._unread_positions_from, None
        known = self._queue.position_numbers()
        found = self._disk.load(sql.LOAD_LANE[self._path], (int(Lane.POSITION), start), limit)
        on_disk = self._sound(found, Lane.POSITION)
        if on_disk is None:
            earlier = self._unread_positions_from
            self._unread_positions_from = start if earlier is None else min(start, earlier)
        rows = self._with_memory(
            on_disk, self._disk.memory.select(self._path, start, limit, lambda row: row.message.lane is Lane.POSITION)
        )
        with self._queue.lock:
            self._queue.positions.extend(
                self._entry(row) for row in rows[:limit] if row.number not in known and self._is_news(row.number)
            )
        if rows[limit - 1 :]:
            self._positions_from = rows[limit - 1].number + 1
        elif on_disk is not None:
            self._positions_from = None
        elif rows:
            self._positions_from = rows[-1].number + 1

    def _sound(self, loaded: Loaded | None, lane: Lane) -> list[StoredRow] | None:
        """Wait no longer for rows that cannot be read back; give the others."""
        if loaded is None:
            return None
        queue = self._queue
        for each in loaded.damaged:
            is_here = queue.holds(each.number) if lane is Lane.ALERT else queue.holds_position(each.number)
            # What is in memory goes out from there.
            if is_here or self._disk.is_settled(self._path, each.number):
                continue
            self._disk.set_aside_on(self._path, each.number)
            queue.forget_one(lane)
        return loaded.rows

    def _with_memory(self, rows: list[StoredRow] | None, more: list[StoredRow]) -> list[StoredRow]:
        rows = rows or []
        if not more:
            return rows
        return sorted({row.number: row for row in (*more, *rows)}.values(), key=lambda row: row.number)

    def _is_news(self, number: int) -> bool:
        return not (self._queue.holds(number) or self._disk.is_settled(self._path, number))

    def _entry(self, row: StoredRow) -> Entry:
        now_ns = self._clock.mono_ns()
        age_ns = max(0, self._clock.utc_ns() - row.t_utc_ns)
        is_old = row.number < self._first_own_number
        return Entry(
            number=row.number,
            message=row.message,
            submitted_mono_ns=now_ns - age_ns,
            attempts=row.attempts + (1 if self._may_be_sent and is_old and row.message.lane is Lane.ALERT else 0),
        )
