"""What waits in memory for one broker: three lanes, and what is with the broker without PUBACK."""

import threading
from collections import OrderedDict, deque

from bridge.outbox.alert_lane import AlertLane, Entry
from bridge.outbox.port import PathDepths
from bridge.publisher import Lane, Message

RETRY_REJECTED_NS = 30_000_000_000
"""How long a message that the broker refused rests before it is tried again. Reason: a refusal (no permission, quota)
ends when a person changes the broker. Shorter floods its log; longer delays the alert once the cause is mended."""

RETRY_UNHEARD_NS = 2_000_000_000
"""How long an alert that nobody was subscribed to rests. Reason: the desk that subscribes gets it this late at most,
and it costs one publish of a topic per rest. Shorter is traffic for nobody."""

UNHEARD_SHARE_NS = 20_000_000
"""Rest for each alert that nobody was subscribed to, where that is more: fifty tries a second, however many they are. A
provider that leaves out a stream of two thousand devices would else get a thousand publishes a second of it."""

RETRY_UNHEARD_MAX_NS = 60_000_000_000
"""Longest such rest. More would keep a desk that subscribes at last waiting for minutes."""


class PathQueue:
    """The part of a path's messages that is in memory, and counts of all.

    One thread calls it; ``depths`` may be asked from any. The lock is held for container operations only.

    Attributes
    ----------
    alerts : AlertLane
    positions : deque of Entry
    alerts_waiting, positions_waiting : int
        Without PUBACK, in memory or on disk.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.alerts = AlertLane()
        self.positions: deque[Entry] = deque()
        self.alerts_waiting = 0
        self.positions_waiting = 0
        self._held: set[int] = set()
        self._states: OrderedDict[str, Entry] = OrderedDict()
        self._beats: dict[str, None] = {}
        """Topics of the states that are not retained, so that thousands that are need no search."""
        self._retained: dict[str, Message] = {}
        self._out: OrderedDict[int, Entry] = OrderedDict()
        self._out_alerts = 0
        self._out_positions = 0
        self._superseded = 0
        self._rejections = 0
        self._unheard = 0

    def holds(self, number: int) -> bool:
        """Whether an alert is here, or with the broker."""
        return number in self._held

    def add_alert(self, entry: Entry) -> None:
        """Put an alert into the line of its topic."""
        with self.lock:
            self._held.add(entry.number)
            self.alerts.add(entry)

    def holds_position(self, number: int) -> bool:
        """Whether a position is in memory, or with the broker."""
        return number in self._out or any(entry.number == number for entry in self.positions)

    def add_position(self, entry: Entry) -> None:
        """Put a position behind the others."""
        with self.lock:
            self.positions.append(entry)

    def shorten(self, topic: str, keep: int) -> list[Entry]:
        """Take the youngest alerts of a topic out of memory."""
        with self.lock:
            taken = self.alerts.shorten(topic, keep)
            self._held.difference_update(entry.number for entry in taken)
            return taken

    def add_state(self, entry: Entry) -> None:
        """Put a state behind the others, in place of an earlier one of its topic."""
        message = entry.message
        with self.lock:
            if message.retain:
                self._retained[message.topic] = message
            if self._states.pop(message.topic, None) is not None:
                self._superseded += 1
            self._states[message.topic] = entry
            if not message.retain:
                self._beats[message.topic] = None

    def find_next(self, now_mono_ns: int) -> Entry | None:
        """Hand out what is next of that which is in memory."""
        with self.lock:
            entry = self._find_next(now_mono_ns)
            if entry is not None:
                entry.attempts += 1
                self._out[entry.number] = entry
                self._out_alerts += entry.message.lane is Lane.ALERT
                self._out_positions += entry.message.lane is Lane.POSITION
            return entry

    def _find_next(self, now_mono_ns: int) -> Entry | None:
        alert = self.alerts.find_next(now_mono_ns)
        if alert is not None:
            return alert
        if self.alerts.is_pressing:
            beat = next(iter(self._beats), None)
            return self._take_state(beat) if beat is not None else None
        if self._states:
            return self._take_state(next(iter(self._states)))
        return self.positions.popleft() if self.positions else None

    def _take_state(self, topic: str) -> Entry:
        self._beats.pop(topic, None)
        return self._states.pop(topic)

    def settle(self, number: int) -> Entry | None:
        """Forget a message that the broker has, or that is given up; None: it was not with the broker."""
        with self.lock:
            entry = self._take_out(number)
            if entry is None:
                return None
            match entry.message.lane:
                case Lane.ALERT:
                    self._held.discard(number)
                    self.alerts.settle(entry)
                    self._unheard -= entry.is_unheard
                    self.alerts_waiting -= 1
                case Lane.POSITION:
                    self.positions_waiting -= 1
            return entry

    def forget_one(self, lane: Lane) -> None:
        """Count one less of those that wait on disk only."""
        with self.lock:
            self.alerts_waiting -= lane is Lane.ALERT
            self.positions_waiting -= lane is Lane.POSITION

    def forget_state(self, message: Message) -> None:
        """Keep a retained state no more for the next connection."""
        with self.lock:
            if self._retained.get(message.topic) is message:
                del self._retained[message.topic]

    def reject(self, number: int, now_mono_ns: int) -> Entry | None:
        """Note a refusal; an alert rests, others are forgotten. None: it was not with the broker."""
        with self.lock:
            self._rejections += 1
            entry = self._take_out(number)
            if entry is None:
                return None
            if entry.message.lane is Lane.ALERT:
                self.alerts.put_back(entry, now_mono_ns + RETRY_REJECTED_NS)
            self.positions_waiting -= entry.message.lane is Lane.POSITION
            return entry

    def mark_unheard(self, number: int, now_mono_ns: int) -> tuple[Entry | None, bool]:
        """Let an alert rest that nobody was subscribed to; also whether that is new."""
        with self.lock:
            entry = self._take_out(number)
            if entry is None:
                return None, False
            first = not entry.is_unheard
            self._unheard += first
            entry.is_unheard = True
            rest_ns = min(RETRY_UNHEARD_MAX_NS, max(RETRY_UNHEARD_NS, self._unheard * UNHEARD_SHARE_NS))
            self.alerts.put_back(entry, now_mono_ns + rest_ns)
            return entry, first

    def mark_too_long(self, number: int) -> tuple[Entry | None, bool]:
        """Set an alert aside, forget others; also whether that is new."""
        with self.lock:
            entry = self._take_out(number)
            if entry is None:
                return None, False
            first = not entry.is_too_long
            self._rejections += first
            entry.is_too_long = True
            entry.attempts -= 1
            message = entry.message
            match message.lane:
                case Lane.ALERT:
                    self.alerts.set_aside(entry)
                case Lane.POSITION:
                    self.positions_waiting -= 1
                case Lane.STATE if self._retained.get(message.topic) is message:
                    del self._retained[message.topic]
            return entry, first

    def _take_out(self, number: int) -> Entry | None:
        entry = self._out.pop(number, None)
        if entry is not None:
            self._out_alerts -= entry.message.lane is Lane.ALERT
            self._out_positions -= entry.message.lane is Lane.POSITION
        return entry

    def rewind(self) -> int:
        """Take back all that is with the broker."""
        with self.lock:
            back = list(self._out.values())
            self._out.clear()
            self._out_alerts = self._out_positions = 0
            for entry in reversed(back):
                message = entry.message
                match message.lane:
                    case Lane.ALERT:
                        self.alerts.put_back(entry)
                    case Lane.STATE:
                        # A newer state of the same topic may have been stored meanwhile; then the old one is obsolete.
                        if message.topic not in self._states:
                            self._states[message.topic] = entry
                            self._states.move_to_end(message.topic, last=False)
                            if not message.retain:
                                self._beats[message.topic] = None
                    case Lane.POSITION:
                        self.positions.appendleft(entry)
            self.alerts.bring_back()
            return len(back)

    def restate(self, number: int, now_mono_ns: int) -> int:
        """Queue every retained state that does not wait already, numbered on from ``number``; returns how many."""
        with self.lock:
            missing = [message for topic, message in self._retained.items() if topic not in self._states]
            for more, message in enumerate(missing):
                self._states[message.topic] = Entry(
                    number=number + more, message=message, submitted_mono_ns=now_mono_ns
                )
            return len(missing)

    @property
    def waiting_positions(self) -> int:
        """Positions that are not with the broker."""
        return self.positions_waiting - self._out_positions

    def drop_position(self, number: int | None = None) -> Entry | None:
        """Take a position out that waits in memory: the oldest, or one by its number; None: there is none."""
        with self.lock:
            entry = next((e for e in self.positions if number in {None, e.number}), None)
            if entry is not None:
                self.positions.remove(entry)
                self.positions_waiting -= 1
            return entry

    def position_numbers(self) -> frozenset[int]:
        """Numbers of the positions that are in memory or with the broker."""
        out = (number for number, entry in self._out.items() if entry.message.lane is Lane.POSITION)
        return frozenset((*out, *(entry.number for entry in self.positions)))

    def rouse_all(self) -> None:
        """End every rest."""
        with self.lock:
            self.alerts.rouse_all()

    def out_alerts(self) -> list[Entry]:
        """Alerts that are with the broker."""
        return [entry for entry in self._out.values() if entry.message.lane is Lane.ALERT]

    @property
    def has_pressing(self) -> bool:
        """Whether states or messages without PUBACK are left, or alerts that wait for nothing."""
        return bool(self.alerts.can_send or self._states or self._out)

    @property
    def has_states(self) -> bool:
        """Whether states wait or are out."""
        return bool(self._states or len(self._out) > self._out_alerts + self._out_positions)

    def depths(self) -> PathDepths:
        """Count what waits."""
        with self.lock:
            out = [e.submitted_mono_ns for e in self._out.values() if e.message.lane is Lane.ALERT]
            if (waiting := self.alerts.find_oldest_mono_ns) is not None:
                out.append(waiting)
            return PathDepths(
                alerts=self.alerts_waiting - self._out_alerts,
                states=len(self._states),
                positions=self.positions_waiting - self._out_positions,
                handed_out=len(self._out),
                rejected=self._rejections,
                unheard=self._unheard,
                oldest_alert_mono_ns=min(out, default=None),
            )

    @property
    def superseded(self) -> int:
        """States that a newer one replaced before they were sent."""
        return self._superseded
