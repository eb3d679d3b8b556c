"""What is with a broker and not acknowledged yet: the window, the watch over it, and what an answer means."""

import contextlib
import logging
from dataclasses import dataclass

import msgspec

from bridge.errors import OutboxUnsendableError
from bridge.mqtt.events import FIRST_FAILURE_CODE, NO_MATCHING_SUBSCRIBERS, Acknowledged, Connected
from bridge.mqtt.policy import DisclosureSink
from bridge.mqtt.session import MqttSession
from bridge.outbox.alert_lane import Entry
from bridge.outbox.path_queue import RETRY_UNHEARD_NS
from bridge.outbox.port import Outbox
from bridge.publisher import Lane, Message
from devices.clock import Clock
from protocols.mqtt.messages import with_delivery

_log = logging.getLogger(__name__)

WINDOW = 100
"""Publishes without PUBACK at most; the broker's Receive Maximum may lower it. 100 to 200 measured fastest on seven
brokers; 1,000 only queues in the broker and delays an alert behind positions."""

ACK_TIMEOUT_NS = 3_000_000_000
"""The oldest publish without PUBACK may be this old; then the connection is dropped and made anew. MQTT's own keepalive
took 10 s to notice a black hole. Shorter reconnects in the middle of a cluster's leader change."""

DOUBT_NS = 500_000_000
"""With the oldest publish this old, the kernel is asked whether TCP itself still gets through. Less asks on every busy
turn; more waits longer than a short tunnel lasts."""

ACK_TIMEOUT_MAX_NS = 60_000_000_000
"""The timeout doubles with each connection that ends by it without any PUBACK, up to this: a broker that is slow, not
gone, would else get the same alerts for ever. More leaves a dead connection unnoticed for minutes."""

ACK_MARGIN = 4
"""The timeout is at least this many times the latest delay of a PUBACK: the next may take longer than the last."""


@dataclass(slots=True, kw_only=True)
class _Flight:
    entry: Entry | None
    topic: str
    sent_mono_ns: int
    is_canary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parcel:
    """What is about to be sent; ``entry``: the outbox's, None for the link's own words."""

    message: Message
    body: bytes
    entry: Entry | None
    is_canary: bool = False


class Flights:
    """The window of one path.

    Parameters
    ----------
    number : int
        Of the path in the outbox.
    outbox : Outbox
    clock : Clock
    disclosures : DisclosureSink or None
    """

    def __init__(self, *, number: int, outbox: Outbox, clock: Clock, disclosures: DisclosureSink | None = None) -> None:
        self._number = number
        self._outbox = outbox
        self._clock = clock
        self._disclosures = disclosures
        self._url = ""
        self._out: dict[int, _Flight] = {}
        self._window = WINDOW
        self._longest_packet_bytes: int | None = None
        self._timeout_ns = ACK_TIMEOUT_NS
        self._acks = 0
        self._last_word: Message | None = None
        self.has_failed = False
        self.was_refused = False
        self._unheard_topics: set[str] = set()
        self.delivered = self.resent = self.without_subscriber = self.positions_unheard = 0

    def __len__(self) -> int:
        return len(self._out)

    @property
    def has_room(self) -> bool:
        """Whether the broker takes one more."""
        return len(self._out) < self._window

    @property
    def is_silent(self) -> bool:
        """Whether nothing is out and nothing waits to be said."""
        return not self._out and self._last_word is None

    @property
    def find_deadline_mono_ns(self) -> int | None:
        """When the oldest will have waited too long for its PUBACK."""
        return next(iter(self._out.values())).sent_mono_ns + self._timeout_ns if self._out else None

    @property
    def find_doubt_mono_ns(self) -> int | None:
        """When the oldest will be old enough to ask why; None: it is, or nothing is out."""
        if not self._out:
            return None
        due = next(iter(self._out.values())).sent_mono_ns + DOUBT_NS
        return due if due > self._clock.mono_ns() else None

    def is_doubtful(self, now_mono_ns: int) -> bool:
        """Whether the oldest has waited for long enough to ask why."""
        return bool(self._out) and now_mono_ns - next(iter(self._out.values())).sent_mono_ns >= DOUBT_NS

    def begin(self, event: Connected, url: str) -> None:
        """Start on a new connection, with its limits."""
        self._out.clear()
        self._url = url
        self.has_failed = False
        self.was_refused = False
        self._window = max(1, min(WINDOW, event.receive_maximum))
        self._longest_packet_bytes = event.maximum_packet_bytes
        self._acks = 0

    def clear(self) -> None:
        """Forget what is out; the outbox takes it back."""
        self._out.clear()

    def find_silence_s(self, now_mono_ns: int) -> float | None:
        """Tell for how long the oldest was not answered, if that is too long; the next connection waits longer."""
        deadline = self.find_deadline_mono_ns
        if deadline is None or now_mono_ns < deadline:
            return None
        waited_s = self._timeout_ns / 1e9
        if not self._acks:
            self._timeout_ns = min(ACK_TIMEOUT_MAX_NS, 2 * self._timeout_ns)
        return waited_s

    def say_last(self, message: Message) -> None:
        """Send this as soon as there is room: one more than the broker allows would end the connection."""
        self._last_word = message

    def send(self, session: MqttSession, message: Message, *, is_canary: bool = False) -> None:
        """Send what is not the outbox's."""
        self._publish(session, [_Parcel(message=message, body=message.body, entry=None, is_canary=is_canary)])

    def fill(self, session: MqttSession) -> bool:
        """Send from the outbox while there is room. True: it has nothing more to send now."""
        if self._last_word is not None and self.has_room:
            self.send(session, self._last_word)
            self._last_word = None
        parcels: list[_Parcel] = []
        is_empty = False
        while len(self._out) + len(parcels) < self._window:
            entry = self._outbox.find_next(self._number, self._clock.mono_ns())
            if entry is None:
                is_empty = True
                break
            body = self._body(entry)
            parcel = _Parcel(message=entry.message, body=body, entry=entry)
            try:
                if not self._is_too_long(session, entry, body):
                    parcels.append(parcel)
            except OutboxUnsendableError as exc:
                self._give_up(parcel, str(exc))
        self._publish(session, parcels)
        return is_empty

    def _publish(self, session: MqttSession, parcels: list["_Parcel"]) -> None:
        """Write down what is sent, then send it."""
        if self._disclosures is not None and parcels:
            for each in parcels:
                self._disclosures.note(
                    each.message, each.body, self._url, 1 if each.entry is None else each.entry.attempts
                )
            self._disclosures.flush()
        with session.gathered() if len(parcels) > 1 else contextlib.nullcontext():
            for each in parcels:
                if not self._send(session, each):
                    # What was handed out and not sent goes back with what is in flight.
                    self.has_failed = True
                    return

    def _send(self, session: MqttSession, parcel: "_Parcel") -> bool:
        try:
            packet_id = session.publish(parcel.message, parcel.body)
        except OutboxUnsendableError as exc:
            self._give_up(parcel, str(exc))
            return True
        if packet_id is not None:
            self._out[packet_id] = _Flight(
                entry=parcel.entry,
                topic=parcel.message.topic,
                sent_mono_ns=self._clock.mono_ns(),
                is_canary=parcel.is_canary,
            )
        return packet_id is not None

    def _give_up(self, parcel: "_Parcel", why: str) -> None:
        """Set aside what cannot be sent at all: it must not hold up what can."""
        if parcel.entry is None:
            _log.error("a message for %s cannot be sent: %s", parcel.message.topic, why)
        else:
            self._outbox.mark_unsendable(self._number, parcel.entry.number, why)

    def acknowledge(self, event: Acknowledged) -> bool:
        """Tell the outbox what a PUBACK means. True: it says that the canary will not come back."""
        flight = self._out.pop(event.packet_id, None)
        if flight is None:
            return False
        now = self._clock.mono_ns()
        self._acks += 1
        needed_ns = max(ACK_MARGIN * (now - flight.sent_mono_ns), self._timeout_ns // 2)
        self._timeout_ns = max(ACK_TIMEOUT_NS, min(ACK_TIMEOUT_MAX_NS, needed_ns))
        self.was_refused |= event.code >= FIRST_FAILURE_CODE
        if flight.entry is None:
            if event.code >= FIRST_FAILURE_CODE:
                _log.error("the broker refused a message for %s: %s", flight.topic, event.reason)
            return flight.is_canary and event.code >= NO_MATCHING_SUBSCRIBERS
        if event.code >= FIRST_FAILURE_CODE:
            kept = self._outbox.mark_rejected(self._number, flight.entry.number, now)
            consequence = "it is kept and tried again" if kept else "it is dropped"
            _log.error("the broker refused a message for %s: %s; %s", flight.topic, event.reason, consequence)
        else:
            self._was_taken(flight.entry, event.code == NO_MATCHING_SUBSCRIBERS, now)
        return False

    def _was_taken(self, entry: Entry, has_no_subscriber: bool, now_mono_ns: int) -> None:
        message = entry.message
        if has_no_subscriber and message.lane is Lane.ALERT:
            self._was_unheard(entry, now_mono_ns)
            return
        self._outbox.mark_delivered(self._number, entry.number, now_mono_ns)
        if has_no_subscriber and message.lane is Lane.POSITION:
            self.positions_unheard += 1
            return
        self.delivered += 1
        if message.lane is Lane.ALERT and message.topic in self._unheard_topics:
            self._unheard_topics.discard(message.topic)
            if not self._unheard_topics:
                _log.warning("all alerts have subscribers again")

    def _was_unheard(self, entry: Entry, now_mono_ns: int) -> None:
        """Keep an alert that the broker took for nobody; say so when it begins, not each time."""
        self.without_subscriber += self._outbox.mark_unheard(self._number, entry.number, now_mono_ns)
        if not self._unheard_topics:
            _log.warning(
                "nobody subscribes to %s: alerts that no reader gets are kept and tried every %g s (many: less often)",
                entry.message.topic,
                RETRY_UNHEARD_NS / 1e9,
            )
        self._unheard_topics.add(entry.message.topic)

    def _body(self, entry: Entry) -> bytes:
        message = entry.message
        if entry.attempts > 1:
            self.resent += 1
        if message.alert_type is None or (entry.attempts <= 1 and entry.is_durable):
            return message.body
        try:
            return with_delivery(
                message.body,
                message.alert_type,
                attempt=entry.attempts,
                durable=None if entry.is_durable else False,
            )
        except msgspec.MsgspecError as exc:
            # Kept by an older version, or damaged on disk. It must go out all the same.
            _log.error("event %s for %s is sent as it was kept: %s", message.event_id, message.topic, exc)
            return message.body

    def _is_too_long(self, session: MqttSession, entry: Entry, body: bytes) -> bool:
        """Reject a message that the broker would answer with the end of the connection."""
        limit = self._longest_packet_bytes
        if limit is None or (length := session.packet_bytes(entry.message, body)) <= limit:
            return False
        if self._outbox.mark_too_long(self._number, entry.number):
            consequence = "kept for a broker that takes it" if entry.message.lane is Lane.ALERT else "dropped"
            _log.error(
                "a message for %s has %d bytes, this broker takes %d at most; it is %s",
                entry.message.topic,
                length,
                limit,
                consequence,
            )
        return True
