"""Connections are made aside: looking up a name, TCP and TLS block, and neither commits nor the other path may wait."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass

from bridge.mqtt.session import MqttSession
from bridge.mqtt.settings import MqttSettings
from bridge.publisher import Message
from devices.clock import Clock

PATIENCE_NS = 6_000_000_000
"""Longest wait for one attempt. TCP and TLS have two seconds each; the rest is for a slow name server. More delays the
next endpoint; less gives up on what would have come."""

MAX_STRAY = 4
"""Attempts given up on that still hang in a name lookup, at most; with more, the next waits. A resolver that answers
nothing holds each for half a minute, and threads must not pile up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No connection, and why."""

    detail: str


class _Attempt(threading.Thread):
    """One attempt in a thread of its own; ``outcome`` is set once, then ``wake`` is called."""

    def __init__(
        self, settings: MqttSettings, will: Message, tls: ssl.SSLContext | None, wake: Callable[[], None]
    ) -> None:
        super().__init__(name=f"connect {settings.url}", daemon=True)
        self._settings = settings
        self._will = will
        self._tls = tls
        self._wake = wake
        self._lock = threading.Lock()
        self._is_given_up = False
        self._outcome: MqttSession | Failed | None = None

    def run(self) -> None:
        outcome = self._connect()
        with self._lock:
            self._outcome = outcome
            is_given_up = self._is_given_up
        if not is_given_up:
            self._wake()
        elif isinstance(outcome, MqttSession):
            outcome.abort()

    def _connect(self) -> MqttSession | Failed:
        try:
            return MqttSession(self._settings, self._will, self._tls, self._is_wanted)
        except OSError as exc:
            return Failed(detail=f"cannot connect: {exc.strerror or exc}")
        except UnicodeError as exc:
            return Failed(detail=f"cannot connect: {self._settings.host!r} is not a host name: {exc}")
        except ValueError as exc:
            return Failed(detail=f"cannot connect: {exc}")

    def _is_wanted(self) -> bool:
        with self._lock:
            return not self._is_given_up

    def find_outcome(self) -> MqttSession | Failed | None:
        with self._lock:
            return self._outcome

    def give_up(self) -> None:
        """Close what comes, or has come, of it."""
        with self._lock:
            self._is_given_up = True
            outcome = self._outcome
        if isinstance(outcome, MqttSession):
            outcome.abort()


class Connector:
    """At most one attempt at a time; belongs to one path.

    Parameters
    ----------
    clock : Clock
    wake : callable
        Called from the attempt's thread when ``find_outcome`` has something.
    """

    def __init__(self, *, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._attempt: _Attempt | None = None
        self._stray: list[_Attempt] = []
        self._deadline_mono_ns = 0

    @property
    def find_deadline_mono_ns(self) -> int | None:
        """When the attempt under way will have taken too long."""
        return self._deadline_mono_ns if self._attempt is not None else None

    @property
    def is_attempting(self) -> bool:
        """Whether an attempt is under way; from any thread."""
        return self._attempt is not None

    @property
    def is_free(self) -> bool:
        """Whether an attempt may begin."""
        self._stray = [each for each in self._stray if each.is_alive()]
        return self._attempt is None and len(self._stray) < MAX_STRAY

    def begin(self, settings: MqttSettings, will: Message, tls: ssl.SSLContext | None) -> Failed | None:
        """Start an attempt; ``is_free`` was asked. Not None: it could not even begin."""
        attempt = _Attempt(settings, will, tls, self._wake)
        try:
            attempt.start()
        except RuntimeError as exc:
            return Failed(detail=f"cannot connect: no thread to be had ({exc})")
        self._deadline_mono_ns = self._clock.mono_ns() + PATIENCE_NS
        self._attempt = attempt
        return None

    def find_outcome(self) -> MqttSession | Failed | None:
        """Hand over the finished session, or say why there is none; None: not yet."""
        attempt = self._attempt
        if attempt is None:
            return None
        outcome = attempt.find_outcome()
        if outcome is not None:
            self._attempt = None
            return outcome
        if self._clock.mono_ns() < self._deadline_mono_ns:
            return None
        self.close()
        return Failed(detail=f"cannot connect: no connection within {PATIENCE_NS / 1e9:g} s")

    def close(self) -> None:
        """Give up on the attempt under way."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.give_up()
            self._stray.append(attempt)
