"""Publisher over MQTT: one thread owns the connection, the outbox owns the order.

::

    submit() --> outbox --> [thread: window of unacknowledged publishes] --> broker
                   ^                        |
                   +---- rewind on loss ----+--- PUBACK: forget
"""

import contextlib
import dataclasses
import logging
import random
import selectors
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from bridge.errors import PublisherClosedError
from bridge.mqtt.session import (
    FIRST_FAILURE_CODE,
    NO_MATCHING_SUBSCRIBERS,
    UNSUPPORTED_VERSION,
    Acknowledged,
    Closed,
    Connected,
    MqttSession,
    MqttSettings,
    Refused,
)
from bridge.outbox.alert_lane import Entry
from bridge.outbox.memory import RETRY_UNHEARD_NS, MemoryOutbox
from bridge.publisher import Lane, Message, PublisherStats
from devices.clock import Clock
from protocols.mqtt.messages import with_attempt

_log = logging.getLogger(__name__)

WINDOW = 100
"""Publishes without PUBACK at most; the broker's Receive Maximum may lower it. 100 to 200 measured fastest on seven
brokers; 1,000 only queues in the broker and delays an alert behind positions."""

ACK_TIMEOUT_NS = 3_000_000_000
"""The oldest publish without PUBACK may be this old; then the connection is dropped and made anew. MQTT's own keepalive
took 10 s to notice a black hole. Shorter reconnects in the middle of a cluster's leader change."""

ACK_TIMEOUT_MAX_NS = 60_000_000_000
"""The timeout doubles with each connection that ends by it without any PUBACK, up to this: a broker that is slow, not
gone, would else get the same alerts for ever. More leaves a dead connection unnoticed for minutes."""

ACK_MARGIN = 4
"""The timeout is at least this many times the latest delay of a PUBACK: the next may take longer than the last."""

BACKOFF_FIRST_S = 0.05
BACKOFF_LAST_S = 1.0
"""Bounds of the wait between attempts to connect: a restarted broker is found within a second, a dead one costs one
connect a second."""

STABLE_NS = 2_000_000_000
"""A connection that lived this long resets the backoff; one that breaks at once (two bridges with one id) does not."""

IDLE_WAIT_S = 1.0
"""Longest sleep while connected: paho's keepalive must be asked about once a second."""

FAREWELL_S = 1.0
"""How long the last status waits for its PUBACK."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerState:
    """The connection changed; handed to ``on_state`` in the publisher's thread. ``is_over``: that thread has failed."""

    connected: bool
    detail: str
    is_over: bool = False


@dataclass(slots=True, kw_only=True)
class _InFlight:
    entry: Entry | None
    topic: str
    sent_mono_ns: int


class MqttPublisher:
    """Publishes the outbox's messages in order, over as many connections as it takes.

    Parameters
    ----------
    settings : MqttSettings
    outbox : MemoryOutbox
    clock : Clock
        For ages and deadlines; the thread's own waits are bounded by them.
    birth, will, farewell : Message
        Bridge status: first message of every connection; what the broker says for us when we are gone; what we say
        ourselves when we stop in order.
    on_state : callable
        Told of each change; must not block.
    """

    def __init__(
        self,
        *,
        settings: MqttSettings,
        outbox: MemoryOutbox,
        clock: Clock,
        birth: Message,
        will: Message,
        farewell: Message,
        on_state: Callable[[BrokerState], None],
    ) -> None:
        self._settings = settings
        self._tls: ssl.SSLContext | None = settings.tls.context() if settings.tls is not None else None
        self._outbox = outbox
        self._clock = clock
        self._birth = birth
        self._will = will
        self._farewell = farewell
        self._on_state = on_state
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._awake = threading.Event()
        self._session: MqttSession | None = None
        self._registered: socket.socket | None = None
        self._registered_mask = 0
        self._connected = False
        self._connected_mono_ns = 0
        self._session_began_mono_ns = 0
        self._next_attempt_mono_ns = 0
        self._failures = 0
        self._window = WINDOW
        self._longest_packet_bytes: int | None = None
        self._ack_timeout_ns = ACK_TIMEOUT_NS
        self._acks = 0
        self._unheard_topics: set[str] = set()
        self._positions_unheard = 0
        self._is_last_try = False
        self._is_dead = False
        self._in_flight: dict[int, _InFlight] = {}
        self._detail = "not yet connected"
        self._close_deadline_mono_ns: int | None = None
        self._submitted = self._delivered = self._without_subscriber = self._resent = self._connects = 0
        self._random = random.Random()
        self._running = False
        self._thread = threading.Thread(target=self._run, name="mqtt-publisher", daemon=True)

    def start(self) -> None:
        """Start the thread; the first attempt to connect is made at once."""
        self._running = True
        self._thread.start()

    def submit(self, message: Message) -> None:
        """See ``Publisher.submit``."""
        if self._close_deadline_mono_ns is not None:
            raise PublisherClosedError(f"a message for {message.topic} was submitted after close")
        self._submitted += 1
        self._outbox.append(message, self._clock.mono_ns())
        self._wake()

    def close(self, timeout_s: float) -> int:
        """See ``Publisher.close``."""
        if self._close_deadline_mono_ns is None:
            self._close_deadline_mono_ns = self._clock.mono_ns() + int(timeout_s * 1e9)
            self._wake()
            # The thread may be inside a blocking connect; the rest is its own orderly end.
            self._thread.join(timeout_s + 10.0)
            self._wake_write.close()
        depths = self._outbox.depths()
        return depths.alerts + depths.states + depths.positions + depths.handed_out

    def stats(self) -> PublisherStats:
        """See ``Publisher.stats``."""
        depths = self._outbox.depths()
        return PublisherStats(
            running=self._running,
            is_dead=self._is_dead,
            connected=self._connected,
            detail=self._detail,
            submitted=self._submitted,
            delivered=self._delivered,
            queued_alerts=depths.alerts,
            queued_states=depths.states,
            queued_positions=depths.positions,
            in_flight=depths.handed_out,
            positions_dropped=depths.positions_dropped,
            states_superseded=depths.states_superseded,
            rejected=depths.rejected,
            without_subscriber=self._without_subscriber,
            unheard_alerts=depths.unheard,
            positions_unheard=self._positions_unheard,
            resent=self._resent,
            connects=self._connects,
            oldest_alert_submitted_mono_ns=depths.oldest_alert_mono_ns,
        )

    def _wake(self) -> None:
        """One byte is enough to wake the thread, however many messages were submitted since."""
        if not self._awake.is_set():
            self._awake.set()
            # A full pipe wakes the thread as well; a closed one means that it has ended, which is told elsewhere.
            with contextlib.suppress(OSError):
                self._wake_write.send(b"\0")

    def _run(self) -> None:
        ended_in_order = False
        try:
            while not self._is_done():
                self._turn()
            self._say_farewell()
            ended_in_order = True
        finally:
            self._running = False
            self._connected = False
            if not ended_in_order:
                self._is_dead = True
                self._detail = f"the publisher's thread failed: {sys.exception()!r}"
                self._on_state(BrokerState(connected=False, detail=self._detail, is_over=True))
            self._drop_session()
            self._selector.close()
            self._wake_read.close()

    def _is_done(self) -> bool:
        deadline = self._close_deadline_mono_ns
        if deadline is None:
            return False
        if not self._is_last_try:
            self._is_last_try = True
            self._outbox.begin_last_try()
            self._wake()
        return self._outbox.is_stuck or self._clock.mono_ns() >= deadline

    def _turn(self) -> None:
        """Do one turn of the loop: connect if due, wait, read, send, write, watch."""
        now = self._clock.mono_ns()
        if self._session is None and now >= self._next_attempt_mono_ns:
            self._connect()
        self._wait()
        session = self._session
        if session is None:
            return
        session.keep_alive()
        self._handle_events(session)
        if self._connected:
            self._pump(session)
            self._handle_events(session)
        self._watch(session)

    def _wait(self) -> None:
        session = self._session
        sock = None if session is None else session.find_socket
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if session is not None and session.wants_write else 0)
        self._register(sock, mask)
        for key, events in self._selector.select(self._patience_s()):
            if key.fileobj is self._wake_read:
                # In this order: a submit between the two finds its message pumped by this very turn.
                while self._drain_wake():
                    pass
                self._awake.clear()
            elif session is not None:
                if events & selectors.EVENT_READ:
                    session.read()
                if events & selectors.EVENT_WRITE:
                    session.write()

    def _drain_wake(self) -> bool:
        try:
            return bool(self._wake_read.recv(64))
        except BlockingIOError:
            return False

    def _register(self, sock: socket.socket | None, mask: int) -> None:
        if sock is not self._registered:
            if self._registered is not None:
                self._selector.unregister(self._registered)
            if sock is not None:
                self._selector.register(sock, mask)
        elif sock is not None and mask != self._registered_mask:
            self._selector.modify(sock, mask)
        self._registered = sock
        self._registered_mask = mask

    def _patience_s(self) -> float:
        """How long nothing needs to be done."""
        now = self._clock.mono_ns()
        due = [now + int(IDLE_WAIT_S * 1e9)]
        if self._session is None:
            due.append(self._next_attempt_mono_ns)
        elif not self._connected:
            due.append(self._session_began_mono_ns + ACK_TIMEOUT_NS)
        elif self._in_flight:
            due.append(next(iter(self._in_flight.values())).sent_mono_ns + self._ack_timeout_ns)
        if self._close_deadline_mono_ns is not None:
            due.append(self._close_deadline_mono_ns)
        # Only if it could be sent: the end of a rest is no reason to wake up without a broker, or with a full window.
        if self._connected and len(self._in_flight) < self._window:
            retry = self._outbox.find_retry_mono_ns()
            if retry is not None:
                due.append(retry)
        return max(0.0, (min(due) - now) / 1e9)

    def _connect(self) -> None:
        self._session_began_mono_ns = self._clock.mono_ns()
        try:
            self._session = MqttSession(self._settings, self._will, self._tls)
        except OSError as exc:
            self._lost(f"cannot connect: {exc.strerror or exc}")
        except ValueError as exc:
            self._lost(f"cannot connect: {self._settings.host!r} is not a host name: {exc}")

    def _handle_events(self, session: MqttSession) -> None:
        for event in session.take_events():
            match event:
                case Connected():
                    self._became_connected(session, event)
                case Refused():
                    self._was_refused(event)
                case Acknowledged():
                    self._was_acknowledged(event)
                case Closed():
                    if self._session is session:
                        self._lost(f"connection lost: {event.reason}")
        if self._session is session and session.find_socket is None:
            self._lost("connection lost")

    def _became_connected(self, session: MqttSession, event: Connected) -> None:
        now = self._clock.mono_ns()
        self._connected = True
        self._connected_mono_ns = now
        self._connects += 1
        self._window = max(1, min(WINDOW, event.receive_maximum))
        self._longest_packet_bytes = event.maximum_packet_bytes
        self._acks = 0
        if self._connects > 1 and not event.session_present:
            _log.warning(
                "%s kept nothing of the session before: what it had acknowledged and not handed on may be lost there; "
                "the states and what was not acknowledged are sent again",
                self._settings.url,
            )
        self._in_flight.clear()
        self._outbox.rewind()
        self._outbox.restate(now)
        self._send(session, self._birth, self._birth.body, None)
        self._tell(connected=True, detail=f"MQTT {self._settings.version}")

    def _was_refused(self, event: Refused) -> None:
        if event.code == UNSUPPORTED_VERSION and self._settings.version == "5":
            self._settings = dataclasses.replace(self._settings, version="3.1.1")
            self._failures = 0
            self._next_attempt_mono_ns = self._clock.mono_ns()
            self._drop_session()
            _log.warning("the broker does not speak MQTT 5; falling back to 3.1.1")
            return
        self._lost(f"the broker refused: {event.reason}")

    def _was_acknowledged(self, event: Acknowledged) -> None:
        flight = self._in_flight.pop(event.packet_id, None)
        if flight is None:
            return
        now = self._clock.mono_ns()
        self._acks += 1
        needed_ns = max(ACK_MARGIN * (now - flight.sent_mono_ns), self._ack_timeout_ns // 2)
        self._ack_timeout_ns = max(ACK_TIMEOUT_NS, min(ACK_TIMEOUT_MAX_NS, needed_ns))
        if flight.entry is None:
            return
        if event.code >= FIRST_FAILURE_CODE:
            kept = self._outbox.mark_rejected(flight.entry.number, now)
            consequence = "it is kept and tried again" if kept else "it is dropped"
            _log.error("the broker refused a message for %s: %s; %s", flight.topic, event.reason, consequence)
            return
        lane = flight.entry.message.lane
        if event.code == NO_MATCHING_SUBSCRIBERS and lane is Lane.ALERT:
            self._was_unheard(flight.entry, now)
            return
        self._outbox.mark_delivered(flight.entry.number)
        if event.code == NO_MATCHING_SUBSCRIBERS and lane is Lane.POSITION:
            self._positions_unheard += 1
            return
        self._delivered += 1
        if lane is Lane.ALERT and flight.topic in self._unheard_topics:
            self._unheard_topics.discard(flight.topic)
            if not self._unheard_topics:
                _log.warning("all alerts have subscribers again")

    def _was_unheard(self, entry: Entry, now_mono_ns: int) -> None:
        """Keep an alert that the broker took for nobody; say so when it begins, not each time."""
        self._without_subscriber += self._outbox.mark_unheard(entry.number, now_mono_ns)
        if not self._unheard_topics:
            _log.warning(
                "nobody subscribes to %s: alerts that no reader gets are kept and tried every %g s",
                entry.message.topic,
                RETRY_UNHEARD_NS / 1e9,
            )
        self._unheard_topics.add(entry.message.topic)

    def _pump(self, session: MqttSession) -> None:
        """Fill the window from the outbox."""
        while len(self._in_flight) < self._window and session.find_socket is not None:
            entry = self._outbox.find_next(self._clock.mono_ns())
            if entry is None:
                return
            message = entry.message
            body = message.body
            if entry.attempts > 1:
                self._resent += 1
                if message.alert_type is not None:
                    body = with_attempt(body, message.alert_type, entry.attempts)
            if self._is_too_long(session, entry, body):
                continue
            if not self._send(session, message, body, entry):
                return

    def _is_too_long(self, session: MqttSession, entry: Entry, body: bytes) -> bool:
        """Reject a message that the broker would answer with the end of the connection."""
        limit = self._longest_packet_bytes
        if limit is None or (length := session.packet_bytes(entry.message, body)) <= limit:
            return False
        if self._outbox.mark_too_long(entry.number):
            consequence = "kept for a broker that takes it" if entry.message.lane is Lane.ALERT else "dropped"
            _log.error(
                "a message for %s has %d bytes, this broker takes %d at most; it is %s",
                entry.message.topic,
                length,
                limit,
                consequence,
            )
        return True

    def _send(self, session: MqttSession, message: Message, body: bytes, entry: Entry | None) -> bool:
        packet_id = session.publish(message, body)
        if packet_id is None:
            return False
        self._in_flight[packet_id] = _InFlight(entry=entry, topic=message.topic, sent_mono_ns=self._clock.mono_ns())
        return True

    def _watch(self, session: MqttSession) -> None:
        """Drop a connection that does not answer."""
        if self._session is not session:
            return
        now = self._clock.mono_ns()
        if not self._connected and now - self._session_began_mono_ns >= ACK_TIMEOUT_NS:
            self._lost(f"no CONNACK for {ACK_TIMEOUT_NS / 1e9:g} s")
        elif self._in_flight:
            oldest = next(iter(self._in_flight.values()))
            if now - oldest.sent_mono_ns >= self._ack_timeout_ns:
                waited_s = self._ack_timeout_ns / 1e9
                if not self._acks:
                    self._ack_timeout_ns = min(ACK_TIMEOUT_MAX_NS, 2 * self._ack_timeout_ns)
                self._lost(f"no PUBACK for {waited_s:g} s")

    def _lost(self, detail: str) -> None:
        """End the connection and plan the next; what was in flight goes back to the outbox."""
        now = self._clock.mono_ns()
        was_connected = self._connected
        self._connected = False
        # A stale send time would kill every new connection at once, so this goes before anything else is armed.
        self._in_flight.clear()
        self._outbox.rewind()
        self._drop_session()
        if was_connected and now - self._connected_mono_ns >= STABLE_NS:
            self._failures = 0
        longest_s = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._next_attempt_mono_ns = now + int(longest_s * self._random.uniform(0.5, 1.0) * 1e9)
        if was_connected or detail != self._detail:
            self._tell(connected=False, detail=detail)

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        self._register(None, 0)
        if session is not None:
            session.abort()

    def _tell(self, *, connected: bool, detail: str) -> None:
        self._detail = detail
        self._on_state(BrokerState(connected=connected, detail=detail))

    def _say_farewell(self) -> None:
        """Publish the last status and disconnect in order, so that the will stays unsaid."""
        session = self._session
        if session is None or not self._connected:
            return
        deadline = self._clock.mono_ns() + int(FAREWELL_S * 1e9)
        is_said = False
        while (self._in_flight or not is_said) and self._session is session and self._clock.mono_ns() < deadline:
            self._close_deadline_mono_ns = deadline
            # One more than the broker allows would end the connection, and with it comes the will.
            if not is_said and len(self._in_flight) < self._window:
                is_said = self._send(session, self._farewell, self._farewell.body, None)
            self._wait()
            self._handle_events(session)
        if self._session is session:
            self._register(None, 0)
            self._session = None
            session.close()
