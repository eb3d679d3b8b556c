"""A message to ourselves through the broker: the only proof that it hands on what it acknowledges.

With MQTT 3.1.1 a broker answers a publish that it denies with a plain PUBACK and drops it.
"""

import itertools
from dataclasses import dataclass

from bridge.publisher import CanaryState, Lane, Message
from protocols.mqtt.inbound import Canary, encode_canary

PATIENCE_NS = 10_000_000_000
"""A canary that is not back by then is lost. A cluster's change of leader took up to 10 s; a live broker needs
milliseconds. Shorter cries wolf at every restart of a broker; longer hides a denial."""

GONE_MAX = 3
"""Canaries in a row that go with their connection and then count as lost. mosquitto 2.0 with ``max_queued_messages 0``
ends the connection after the PUBACK of a publish that it denies. Fewer cries wolf when a broker is restarted twice."""

EXPIRY_S = 10
"""The broker drops a canary that nobody fetched: after an outage none comes back late and says that all was well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySettings:
    """How often, and which start of the bridge sends them."""

    interval_s: float
    epoch: str


class CanaryWatch:
    """Canaries of one path: which is due, which is out, whether they come back.

    Parameters
    ----------
    settings : CanarySettings
    topic : str
    path, paths : int
        Its numbers are those of no other path: brokers may be joined behind our back.
    """

    def __init__(self, settings: CanarySettings, topic: str, path: int, paths: int) -> None:
        self._topic = topic
        self._epoch = settings.epoch
        self._interval_ns = int(settings.interval_s * 1e9)
        self._numbers = itertools.count(path, paths)
        self._next_mono_ns: int | None = None
        self._out: int | None = None
        self._sent_mono_ns = 0
        self._gone = 0
        self.state: CanaryState = "never"
        self.is_lost = False

    @property
    def find_due_mono_ns(self) -> int | None:
        """When one must be sent, or the one that is out counts as lost; None: not connected."""
        if self._out is None:
            return self._next_mono_ns
        return self._sent_mono_ns + PATIENCE_NS

    def connected(self, now_mono_ns: int) -> None:
        """Begin with one at once."""
        self._out = None
        self._next_mono_ns = now_mono_ns

    def disconnected(self) -> bool:
        """Forget the one that is out: it went with the connection and proves nothing, unless that happens each time.

        True: it has happened too often, for the first time.
        """
        self._gone += self._out is not None
        self._out = None
        self._next_mono_ns = None
        return self._gone >= GONE_MAX and self.give_up()

    def make(self, now_mono_ns: int) -> Message | None:
        """Give the canary to send, if one is due."""
        if self._out is not None or self._next_mono_ns is None or now_mono_ns < self._next_mono_ns:
            return None
        self._out = next(self._numbers)
        self._sent_mono_ns = now_mono_ns
        self._next_mono_ns = now_mono_ns + self._interval_ns
        body = encode_canary(Canary(epoch=self._epoch, number=self._out))
        return Message(topic=self._topic, body=body, lane=Lane.STATE, expiry_s=EXPIRY_S)

    def has_returned(self, canary: Canary, now_mono_ns: int) -> bool:
        """Take one that came back. True: they were lost before, and are not any more."""
        if canary.epoch != self._epoch or canary.number != self._out:
            return False
        self._out = None
        self._gone = 0
        self.state = "ok"
        was_lost, self.is_lost = self.is_lost, False
        self._next_mono_ns = max(self._next_mono_ns or 0, now_mono_ns)
        return was_lost

    def has_lost(self, now_mono_ns: int) -> bool:
        """Give up on the one that is out when it is time. True: they came back before, or none was sent before."""
        if self._out is None or now_mono_ns < self._sent_mono_ns + PATIENCE_NS:
            return False
        return self.give_up()

    def give_up(self) -> bool:
        """Count the one that is out as lost: it is late, or was refused. True: the first in a row."""
        self._out = None
        if self.state == "ok":
            self.state = "late"
        was_lost, self.is_lost = self.is_lost, True
        return not was_lost
