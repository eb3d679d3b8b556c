"""One path to one broker: which endpoint, when to connect, what is in flight, and whether it is answered.

::

    resting --backoff over--> connecting (a thread aside) --> greeted? --CONNACK--> connected --> resting
                                                               refused, lost, too late -------------^
"""

import logging
import socket
from collections.abc import Callable
from typing import Protocol

from bridge.mqtt.canary import CanaryWatch
from bridge.mqtt.connector import Connector, Failed
from bridge.mqtt.endpoints import Endpoints
from bridge.mqtt.events import (
    FIRST_FAILURE_CODE,
    SESSION_TAKEN_OVER,
    UNSUPPORTED_VERSION,
    Acknowledged,
    Closed,
    Connected,
    Received,
    Refused,
    Subscribed,
)
from bridge.mqtt.flight import Flights
from bridge.mqtt.presence import Presence
from bridge.mqtt.session import MqttSession
from bridge.mqtt.settings import MqttSettings, PathSettings
from bridge.mqtt.stuck import StuckWatch
from bridge.mqtt.troubles import Troubles
from bridge.mqtt.trust import SessionTrust
from bridge.mqtt.waiter import READ, WRITE, Interest
from bridge.outbox.port import RESEND_WINDOW_NS, Outbox
from bridge.publisher import DeliveryTrouble, Message, PathStats
from devices.clock import Clock
from protocols.mqtt.inbound import Canary

_log = logging.getLogger(__name__)

CONNACK_TIMEOUT_NS = 3_000_000_000
"""A broker that took our CONNECT answers within this, or the next endpoint is tried. More stays with one that hangs."""

STABLE_NS = 2_000_000_000
"""A connection that lived this long resets the backoff; one that breaks at once (two bridges with one id) does not."""

IDLE_NS = 1_000_000_000
"""Longest sleep while connected: paho's keepalive must be asked about once a second."""


SHORT_LIVES = 3
"""Connections in a row that a broker ended within ``STABLE_NS``: then somebody may have our client id. Not every broker
says so. One or two come from a broker that is starting."""


class LinkObserver(Protocol):
    """Told by a link, in the publisher's thread; must not block."""

    def connection_changed(self, link: "Link") -> None:
        """Take a change of ``connected`` or ``detail``."""
        ...

    def trouble_changed(self, trouble: DeliveryTrouble) -> None:
        """Take a trouble of a path that began or is over."""
        ...

    def received(self, link: "Link", event: Received) -> None:
        """Take a message that has come."""
        ...


class Link:
    """Keeps one path connected and hands the outbox's messages over it. Driven by the publisher's thread.

    Parameters
    ----------
    number : int
        Of the path in the outbox.
    settings : PathSettings
    outbox : Outbox
    flights : Flights
        What is with the broker.
    presence : Presence
        Gives the first message of every connection, and what the broker says for us.
    filters : tuple of str
        Subscribed to at every connection. A broker keeps a session, and tells that it did, for subscribers.
    canary : CanaryWatch or None
    clock : Clock
    wake : callable
        Ends the thread's wait when a connection was made, or was not.
    """

    def __init__(
        self,
        *,
        number: int,
        settings: PathSettings,
        outbox: Outbox,
        flights: Flights,
        presence: Presence,
        filters: tuple[str, ...],
        canary: CanaryWatch | None,
        clock: Clock,
        wake: Callable[[], None],
        observer: LinkObserver,
    ) -> None:
        self.number = number
        self.name = settings.name
        self.connected = False
        self.detail = "not yet connected"
        self.connects = 0
        self.flights = flights
        self._endpoints = Endpoints(settings)
        self._outbox = outbox
        self._presence = presence
        self._birth: Message | None = None
        self._filters = filters
        self._canary = canary
        self._clock = clock
        self._observer = observer
        self._trust = SessionTrust(number, outbox, clock)
        self._connector = Connector(clock=clock, wake=wake)
        self._session: MqttSession | None = None
        self._session_began_mono_ns = 0
        self._connected_mono_ns = 0
        self._next_attempt_mono_ns = 0
        self._subscription: int | None = None
        self._forgot_mono_ns: int | None = None
        self._stuck = StuckWatch(clock)
        self._troubles = Troubles(settings.name, observer.trouble_changed)
        self._told: set[tuple[str, str]] = set()
        self._short_lives = 0
        self._is_ending = False

    @property
    def settings(self) -> MqttSettings:
        """The endpoint in use, or tried last."""
        return self._endpoints.current.settings

    def stats(self) -> PathStats:
        """Read the counters; from any thread."""
        return PathStats(
            name=self.name,
            url=self.settings.url,
            connected=self.connected,
            is_connecting=not self.connected and (self._session is not None or self._connector.is_attempting),
            detail=self.detail,
            connects=self.connects,
            in_flight=len(self.flights),
            canary="off" if self._canary is None else self._canary.state,
        )

    @property
    def find_interest(self) -> Interest | None:
        """What to wait for."""
        session = self._session
        sock = None if session is None else session.find_socket
        if session is None or sock is None:
            return None
        return Interest(sock=sock, mask=READ | WRITE if session.wants_write else READ)

    def find_due_mono_ns(self, now_mono_ns: int) -> int:
        """When something is to be done that no socket tells."""
        due = [now_mono_ns + IDLE_NS]
        session = self._session
        if session is None:
            deadline = self._connector.find_deadline_mono_ns
            due.append(self._next_attempt_mono_ns if deadline is None else deadline)
            if deadline is None and (self._is_ending or not self._connector.is_free):
                return due[0]
        elif session.has_unread or session.find_socket is None:
            return now_mono_ns
        elif not self.connected:
            due.append(self._session_began_mono_ns + CONNACK_TIMEOUT_NS)
        else:
            due += self._find_work_mono_ns()
        return min(due)

    def _find_work_mono_ns(self) -> list[int]:
        found = [self.flights.find_deadline_mono_ns]
        if len(self.flights):
            found += [self.flights.find_doubt_mono_ns, self._stuck.find_due_mono_ns(self._find_socket())]
        # Only if it could be sent: the end of a rest is no reason to wake up with a full window.
        if self.flights.has_room:
            found.append(self._outbox.find_due_mono_ns(self.number))
        if self._canary is not None:
            found.append(self._canary.find_due_mono_ns)
        return [each for each in found if each is not None]

    def advance(self) -> None:
        """Begin an attempt to connect when it is due; take over one that has ended."""
        if self._session is not None:
            return
        outcome = self._connector.find_outcome()
        now = self._clock.mono_ns()
        if outcome is None and not self._is_ending and now >= self._next_attempt_mono_ns and self._connector.is_free:
            endpoint = self._endpoints.current
            self._trust.begin()
            outcome = self._connector.begin(endpoint.settings, self._make_birth_and_will(now), endpoint.tls)
        if isinstance(outcome, Failed):
            self.lose(outcome.detail)
        elif outcome is not None:
            self._trust.ask()
            self._session = outcome
            self._session_began_mono_ns = now

    def _make_birth_and_will(self, now_mono_ns: int) -> Message:
        """Make what is said of the connection that is attempted; its end has the higher number. Returns the will."""
        self._birth = self._presence.make("online", "connected again" if self.connects else "started")
        will = self._presence.make("offline", "connection lost")
        self._outbox.note_number(will, now_mono_ns)
        return will

    def serve(self, ready: int) -> None:
        """Read and write what the socket is ready for, and handle what came."""
        session = self._session
        if session is None:
            return
        if ready & READ or session.has_unread:
            session.read()
        if ready & WRITE:
            session.write()
        session.keep_alive()
        self._handle_events(session)

    def pump(self) -> bool:
        """Fill the window from the outbox. True: nothing is left to send now."""
        session = self._session
        if session is None or not self.connected:
            return True
        has_all = self.flights.fill(session)
        self._handle_events(session)
        if self.flights.has_failed and self._session is session:
            self.lose("the connection takes nothing more")
        return has_all

    def watch(self) -> None:
        """Drop a connection that does not answer; send the canary, or miss it."""
        session = self._session
        if session is None:
            return
        now = self._clock.mono_ns()
        if not self.connected:
            if now - self._session_began_mono_ns >= CONNACK_TIMEOUT_NS:
                self.lose(f"no CONNACK for {CONNACK_TIMEOUT_NS / 1e9:g} s")
            return
        if now - self._connected_mono_ns >= STABLE_NS:
            self._troubles.left_alone(self.settings.url)
        silent_s = self.flights.find_silence_s(now)
        if silent_s is not None:
            self.lose(f"no PUBACK for {silent_s:g} s")
        elif self.flights.is_doubtful(now) and self._stuck.is_open_again(self._find_socket()):
            self.lose("the way is open again, and the old connection still waits", same_endpoint=True)
        elif self._canary is not None:
            self._tend_canary(session, self._canary, now)

    def take_canary(self, canary: Canary) -> None:
        """Take a canary that came back, perhaps another's."""
        if self._canary is None or not self._canary.has_returned(canary, self._clock.mono_ns()):
            return
        self._troubles.canary_back(self.settings.url)
        self._doubt("it dropped what we sent it")

    def provider_returned(self) -> None:
        """Send again what a forgetful broker acknowledged: when it forgot, this reader was not there to get it."""
        forgot = self._forgot_mono_ns
        self._forgot_mono_ns = None
        if forgot is not None and self._clock.mono_ns() - forgot < RESEND_WINDOW_NS:
            self._doubt("its memory was lost before this reader was back")

    def begin_farewell(self, farewell: Message) -> None:
        """Make no connection any more; say goodbye on the one that is there once there is room in the window."""
        self._is_ending = True
        self._connector.close()
        if self.connected:
            self.flights.say_last(farewell)

    @property
    def has_said_all(self) -> bool:
        """Whether nothing is in flight, or nothing can be sent any more."""
        return not self.connected or self.flights.is_silent

    def end(self, *, in_order: bool) -> None:
        """Disconnect; not in order, the broker publishes the will."""
        self._is_ending = True
        self._connector.close()
        self._stuck.close()
        session, self._session = self._session, None
        if session is not None:
            if in_order and self.connected:
                session.close()
            else:
                session.abort()
        self.connected = False
        if in_order:
            self._trust.close()

    def _find_socket(self) -> socket.socket | None:
        return None if self._session is None else self._session.find_socket

    def lose(self, detail: str, *, same_endpoint: bool = False) -> None:
        """End the connection and plan the next; what was in flight goes back to the outbox.

        ``same_endpoint``: it is known to answer, and is connected to at once.
        """
        now = self._clock.mono_ns()
        was_connected, self.connected = self.connected, False
        # A stale send time would kill every new connection at once, so this goes before anything else is armed.
        self.flights.clear()
        self._outbox.rewind(self.number)
        if self._canary is not None and self._canary.disconnected():
            self._troubles.canary_lost(self.settings.url, "goes with the connection each time")
        self._drop_session()
        self.detail = detail
        if was_connected or (self.settings.url, detail) not in self._told:
            self._told.add((self.settings.url, detail))
            self._observer.connection_changed(self)
        if same_endpoint:
            self._next_attempt_mono_ns = now
            return
        was_stable = was_connected and now - self._connected_mono_ns >= STABLE_NS
        self._next_attempt_mono_ns = now + self._endpoints.fail(was_stable=was_stable)

    def _handle_events(self, session: MqttSession) -> None:
        for event in session.take_events():
            match event:
                case Connected():
                    self._became_connected(session, event)
                case Refused():
                    self._was_refused(event)
                case Acknowledged():
                    if self.flights.acknowledge(event):
                        self._canary_refused(event)
                case Subscribed():
                    self._was_subscribed(event)
                case Received():
                    self._observer.received(self, event)
                case Closed():
                    if self._session is session:
                        self._was_closed(event)
        if self._session is session and session.find_socket is None:
            self.lose("connection lost")

    def _became_connected(self, session: MqttSession, event: Connected) -> None:
        now = self._clock.mono_ns()
        self.detail = f"MQTT {self.settings.version}"
        self.connected = True
        self._connected_mono_ns = now
        self.connects += 1
        self.flights.begin(event, self.settings.url)
        self._outbox.rewind(self.number)
        self._was_answered(now, session_present=event.session_present)
        self._outbox.restate(self.number, now)
        self._subscription = session.subscribe(self._filters)
        if self._birth is not None:
            self.flights.send(session, self._birth)
        if self._canary is not None:
            self._canary.connected(now)
        self._told.clear()
        self._observer.connection_changed(self)

    def _was_answered(self, now_mono_ns: int, *, session_present: bool) -> None:
        again = self._trust.answer(session_present=session_present)
        if session_present:
            self._troubles.has_remembered(self.settings.url)
            if again:
                _log.warning(
                    "%s: an earlier start did not learn what it held; %d alerts are sent again", self.name, again
                )
        elif again or self.connects > 1:
            # Else it is our first connection ever.
            self._forgot_mono_ns = now_mono_ns
            self._troubles.has_forgotten(self.settings.url, again or 0)

    def _doubt(self, why: str) -> None:
        again = self._trust.doubt()
        if again:
            _log.warning("%s: %s; %d alerts that it acknowledged are sent again", self.settings.url, why, again)

    def _was_refused(self, event: Refused) -> None:
        endpoint = self._endpoints.current
        if event.code == UNSUPPORTED_VERSION and endpoint.settings.version == "5":
            self._endpoints.fall_back()
            self._next_attempt_mono_ns = self._clock.mono_ns()
            self._drop_session()
            _log.warning("%s does not speak MQTT 5; falling back to 3.1.1", endpoint.settings.url)
            return
        self.lose(f"the broker refused: {event.reason}")

    def _was_closed(self, event: Closed) -> None:
        lived_ns = self._clock.mono_ns() - self._connected_mono_ns
        # A broker may also end a connection because it denies what came by it; that is told by its reason code.
        is_short = self.connected and lived_ns < STABLE_NS and not self.flights.was_refused
        self._short_lives = self._short_lives + 1 if is_short else 0
        if event.code == SESSION_TAKEN_OVER or self._short_lives == SHORT_LIVES:
            is_sure = event.code == SESSION_TAKEN_OVER
            self._troubles.taken_over(self.settings.url, self.settings.client_id, is_sure=is_sure)
        self.lose(f"connection lost: {event.reason}")

    def _was_subscribed(self, event: Subscribed) -> None:
        if event.packet_id != self._subscription:
            return
        refused = [each for each, code in zip(self._filters, event.codes, strict=False) if code >= FIRST_FAILURE_CODE]
        if refused:
            self._troubles.subscription_refused(self.settings.url, refused)
        else:
            self._troubles.subscription_granted(self.settings.url)

    def _tend_canary(self, session: MqttSession, canary: CanaryWatch, now_mono_ns: int) -> None:
        if canary.has_lost(now_mono_ns):
            self._troubles.canary_lost(self.settings.url, "does not come back")
        if self.flights.has_room and (message := canary.make(now_mono_ns)) is not None:
            self.flights.send(session, message, is_canary=True)

    def _canary_refused(self, event: Acknowledged) -> None:
        if self._canary is not None and self._canary.give_up():
            self._troubles.canary_lost(self.settings.url, f"is answered by: {event.reason}")

    def _drop_session(self) -> None:
        self._stuck.close()
        session, self._session = self._session, None
        if session is not None:
            session.abort()
