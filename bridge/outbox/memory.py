"""Messages that the broker does not have yet, in memory: three lanes, each with its own drop policy.

What is in here is lost with the process. A durable outbox can stand behind the same calls.
"""

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

from bridge.outbox.alert_lane import AlertLane, Entry
from bridge.publisher import Lane, Message

RETRY_REJECTED_NS = 30_000_000_000
"""How long a message that the broker refused rests before it is tried again. Reason: a refusal (no permission, quota)
ends when a person changes the broker. Shorter floods its log; longer delays the alert once the cause is mended."""


RETRY_UNHEARD_NS = 2_000_000_000
"""How long an alert that nobody was subscribed to rests. Reason: the desk that subscribes gets it this late at most,
and it costs one publish of a topic per rest. Shorter is traffic for nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxDepths:
    """What is in the outbox, and what was dropped."""

    alerts: int
    states: int
    positions: int
    handed_out: int
    positions_dropped: int
    states_superseded: int
    rejected: int
    unheard: int
    oldest_alert_mono_ns: int | None


class MemoryOutbox:
    """Thread-safe store between ``submit`` and PUBACK.

    ``append`` and ``depths`` may be called from any thread; the other calls belong to the one thread that talks to the
    broker. The lock is held for a few container operations only, never across a call into the MQTT client.

    Parameters
    ----------
    max_positions : int
        Capacity of the position lane. At 700 bytes a message the default of 10,000 is 7 MB, or 17 minutes of ten tags
        at 1 Hz; beyond it the oldest position is dropped and counted.
    """

    def __init__(self, *, max_positions: int) -> None:
        self._lock = threading.Lock()
        self._next_number = 0
        self._alerts = AlertLane()
        self._states: OrderedDict[str, Entry] = OrderedDict()
        self._positions: deque[Entry] = deque()
        self._max_positions = max_positions
        self._out: OrderedDict[int, Entry] = OrderedDict()
        self._retained: dict[str, Message] = {}
        self._dropped = 0
        self._superseded = 0
        self._rejections = 0
        self._unheard = 0

    def append(self, message: Message, now_mono_ns: int) -> None:
        """Store a message at the end of its lane."""
        with self._lock:
            entry = Entry(number=self._next_number, message=message, submitted_mono_ns=now_mono_ns)
            self._next_number += 1
            self._store(entry)

    def _store(self, entry: Entry) -> None:
        message = entry.message
        match message.lane:
            case Lane.ALERT:
                self._alerts.append(entry)
            case Lane.STATE:
                if message.retain:
                    self._retained[message.topic] = message
                if self._states.pop(message.topic, None) is not None:
                    self._superseded += 1
                self._states[message.topic] = entry
            case Lane.POSITION:
                if len(self._positions) >= self._max_positions:
                    self._positions.popleft()
                    self._dropped += 1
                self._positions.append(entry)

    def find_next(self, now_mono_ns: int) -> Entry | None:
        """Hand out the next message to send: alerts first, then states, then positions; each oldest first.

        Of the alerts of one topic only one is out at a time, and none while one before it rests. While an alert
        waits for the one before it, positions wait too, for they would lengthen that, and so do retained states: a
        snapshot must not come before the alerts that it reflects. Heartbeats go on.
        """
        with self._lock:
            alert = self._alerts.find_next(now_mono_ns)
            if alert is not None:
                entry = alert
            elif self._alerts.is_pressing:
                beat = next((topic for topic, state in self._states.items() if not state.message.retain), None)
                if beat is None:
                    return None
                entry = self._states.pop(beat)
            elif self._states:
                entry = self._states.popitem(last=False)[1]
            elif self._positions:
                entry = self._positions.popleft()
            else:
                return None
            entry.attempts += 1
            self._out[entry.number] = entry
            return entry

    def mark_delivered(self, number: int) -> None:
        """Forget a message: the broker has it."""
        with self._lock:
            entry = self._out.pop(number, None)
            if entry is not None and entry.message.lane is Lane.ALERT:
                self._alerts.settle(entry)
                self._unheard -= entry.is_unheard

    def mark_rejected(self, number: int, now_mono_ns: int) -> bool:
        """Note that the broker refused a message. An alert is kept and tried again; True: it was kept."""
        with self._lock:
            self._rejections += 1
            entry = self._out.pop(number, None)
            if entry is None or entry.message.lane is not Lane.ALERT:
                return False
            self._alerts.put_back(entry, now_mono_ns + RETRY_REJECTED_NS)
            return True

    def mark_unheard(self, number: int, now_mono_ns: int) -> bool:
        """Note that the broker took an alert that nobody is subscribed to; it is kept. True: for the first time."""
        with self._lock:
            entry = self._out.pop(number, None)
            if entry is None:
                return False
            first = not entry.is_unheard
            self._unheard += first
            entry.is_unheard = True
            self._alerts.put_back(entry, now_mono_ns + RETRY_UNHEARD_NS)
            return first

    def mark_too_long(self, number: int) -> bool:
        """Note that a message is longer than the broker's largest packet. True: for the first time.

        An alert is kept for a broker that takes it, without holding up its topic: it would do so for ever.
        """
        with self._lock:
            entry = self._out.pop(number, None)
            if entry is None:
                return False
            first = not entry.is_too_long
            self._rejections += first
            entry.is_too_long = True
            entry.attempts -= 1
            if entry.message.lane is Lane.ALERT:
                self._alerts.set_aside(entry)
            elif self._retained.get(entry.message.topic) is entry.message:
                del self._retained[entry.message.topic]
            return first

    def begin_last_try(self) -> None:
        """End every rest: what was refused, or had no subscriber, is tried once more before the end."""
        with self._lock:
            self._alerts.rouse_all()

    @property
    def is_stuck(self) -> bool:
        """Whether all that is left are alerts that the broker refused or had no subscriber for."""
        with self._lock:
            return not (self._alerts.can_send or self._states or self._positions or self._out)

    def rewind(self) -> int:
        """Take back all that was handed out and not delivered, to be sent again in the old order; returns how many."""
        with self._lock:
            back = list(self._out.values())
            self._out.clear()
            for entry in reversed(back):
                message = entry.message
                match message.lane:
                    case Lane.ALERT:
                        self._alerts.put_back(entry)
                    case Lane.STATE:
                        # A newer state of the same topic may have been stored meanwhile; then the old one is obsolete.
                        if message.topic not in self._states:
                            self._states[message.topic] = entry
                            self._states.move_to_end(message.topic, last=False)
                    case Lane.POSITION:
                        self._positions.appendleft(entry)
            while len(self._positions) > self._max_positions:
                self._positions.popleft()
                self._dropped += 1
            self._alerts.bring_back()
            return len(back)

    def restate(self, now_mono_ns: int) -> None:
        """Queue every retained state again: several brokers lose them when they crash."""
        with self._lock:
            for topic, message in self._retained.items():
                if topic not in self._states:
                    self._states[topic] = Entry(
                        number=self._next_number, message=message, submitted_mono_ns=now_mono_ns
                    )
                    self._next_number += 1

    def depths(self) -> OutboxDepths:
        """Count what is in here."""
        with self._lock:
            out = [e.submitted_mono_ns for e in self._out.values() if e.message.lane is Lane.ALERT]
            if (waiting := self._alerts.find_oldest_mono_ns) is not None:
                out.append(waiting)
            return OutboxDepths(
                alerts=len(self._alerts),
                states=len(self._states),
                positions=len(self._positions),
                handed_out=len(self._out),
                positions_dropped=self._dropped,
                states_superseded=self._superseded,
                rejected=self._rejections,
                unheard=self._unheard,
                oldest_alert_mono_ns=min(out, default=None),
            )

    @property
    def is_empty(self) -> bool:
        """Whether everything was delivered; alerts that the broker refused, or had no subscriber for, were not."""
        with self._lock:
            return not (self._alerts or self._states or self._positions or self._out)

    def find_retry_mono_ns(self) -> int | None:
        """When the next alert that rests may be tried again."""
        with self._lock:
            return self._alerts.find_rest_mono_ns
