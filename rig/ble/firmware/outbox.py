"""What a smart tag has to say and cannot yet: events and sightings with their time, told later with their age."""

from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Final

from protocols.ble.smart_tag import encode_sighting, encode_tag_event
from protocols.reports import BeaconSighting, BeaconVerdict, TagEvent, TagEventKind
from rig.emulator.clock import NS_PER_S

SIGHTINGS_EVERY_NS: Final = NS_PER_S
"""Advertisements of the beacon are told in one sighting a second."""
EVENTS_KEPT: Final = 32
SIGHTINGS_KEPT: Final = 64
"""What waits for the link; the oldest go first, a call for help last of all."""


@unique
class TagChannel(Enum):
    """What a notification is about; each has a characteristic of its own."""

    STATE = "state"
    EVENT = "event"
    SIGHTING = "sighting"
    BATTERY = "battery"


EVERY_CHANNEL: Final = frozenset(TagChannel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A value for whoever has subscribed."""

    channel: TagChannel
    value: bytes


@dataclass(frozen=True, slots=True)
class _Event:
    t_ns: int
    sequence: int
    kind: TagEventKind
    warn_id: int | None


@dataclass(slots=True)
class _Sighting:
    rolling_id: bytes
    verdict: BeaconVerdict
    rssi_dbm: int
    count: int
    counter: int
    t_ns: int
    due_ns: int


@dataclass(slots=True)
class Outbox:
    """Events and sightings in their order.

    Attributes
    ----------
    sequence : int
        Number of the newest event.
    dropped : int
        What waited too long for a link.
    """

    sequence: int
    dropped: int = 0
    _events: list[_Event] = field(default_factory=list)
    _open: dict[tuple[bytes, BeaconVerdict], _Sighting] = field(default_factory=dict)
    _closed: list[_Sighting] = field(default_factory=list)

    def add(self, kind: TagEventKind, t_ns: int, warn_id: int | None = None) -> None:
        """Note an event."""
        self.sequence = (self.sequence + 1) & 0xFFFF
        self._events.append(_Event(t_ns, self.sequence, kind, warn_id))
        if len(self._events) > EVENTS_KEPT:
            spare = [i for i, event in enumerate(self._events) if event.kind is not TagEventKind.SOS_PRESSED]
            del self._events[spare[0] if spare else 0]
            self.dropped += 1

    def sight(self, rolling_id: bytes, counter: int, verdict: BeaconVerdict, rssi_dbm: int, t_ns: int) -> None:
        """Note an advertisement of the beacon."""
        now = self._open.get((rolling_id, verdict))
        if now is None:
            self._open[rolling_id, verdict] = _Sighting(
                rolling_id, verdict, rssi_dbm, 1, counter, t_ns, t_ns + SIGHTINGS_EVERY_NS
            )
            return
        now.rssi_dbm = max(now.rssi_dbm, rssi_dbm)
        now.count = min(now.count + 1, 0xFFFF)
        now.counter, now.t_ns = counter, t_ns

    def next_due_ns(self) -> int | None:
        """When a sighting is complete."""
        return min((sighting.due_ns for sighting in self._open.values()), default=None)

    def run(self, t_ns: int) -> None:
        """Complete the sightings that are due."""
        for key in [key for key, sighting in self._open.items() if sighting.due_ns <= t_ns]:
            self._closed.append(self._open.pop(key))
            if len(self._closed) > SIGHTINGS_KEPT:
                del self._closed[0]
                self.dropped += 1

    def take_events(self, t_ns: int) -> list[Notification]:
        """Give all events, in order, with their age."""
        out = []
        for event in self._events:
            report = TagEvent(
                sequence=event.sequence, kind=event.kind, warn_id=event.warn_id, age_ms=_age_ms(t_ns, event.t_ns)
            )
            out.append(Notification(channel=TagChannel.EVENT, value=encode_tag_event(report)))
        self._events.clear()
        return out

    def take_sightings(self, t_ns: int) -> list[Notification]:
        """Give all sightings that are complete, in order, with their age."""
        out = []
        for sighting in self._closed:
            heard = BeaconSighting(
                rolling_id=sighting.rolling_id,
                rssi_dbm=sighting.rssi_dbm,
                count=sighting.count,
                counter=sighting.counter,
                age_ms=_age_ms(t_ns, sighting.t_ns),
                verdict=sighting.verdict,
            )
            out.append(Notification(channel=TagChannel.SIGHTING, value=encode_sighting(heard)))
        self._closed.clear()
        return out


def _age_ms(now_ns: int, then_ns: int) -> int:
    return min(max(now_ns - then_ns, 0) // 1_000_000, 0xFFFF_FFFF)
