"""What the families of alerts say, and the ledger that turns it into the life of an alert."""

from collections.abc import Iterator
from dataclasses import dataclass

from devices.events import Stamps
from protocols.mqtt.messages import AlertKind, BandName, MsgType, ZoneRef
from protocols.reports import Fix


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertKey:
    """What an alert is about. At most one alert per key is raised at a time.

    ``about`` is the zone's id, or the other side of a pair; empty for equipment. ``late`` keeps what a tag's memory
    tells about the past apart from what is so now.
    """

    device_id: str
    kind: AlertKind
    about: str = ""
    late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """Distance between the two of a pair, and the bearing from the protected person to the wearer."""

    distance_m: float
    bearing_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One family says: this is so (``raised``), or it is over.

    Attributes
    ----------
    key : AlertKey
    raised : bool
    occurred_utc_ns : int
        When it happened, by the device's clock where it told one.
    stamps : Stamps
        Of the event that showed it.
    shown_by : str
        Id of the device whose event that was.
    reason : str
        For a person, without any position.
    band, level : optional
        A change of either updates a raised alert.
    zone : ZoneRef, optional
    fix : Fix, optional
        The judged fix of the key's own device.
    stored : bool
        The tag had it in memory: it is news to us only.
    separation : Separation, optional
        Set only where the key's device is the protected person's.
    """

    key: AlertKey
    raised: bool
    occurred_utc_ns: int
    stamps: Stamps
    shown_by: str
    reason: str
    band: BandName | None = None
    level: str | None = None
    zone: ZoneRef | None = None
    fix: Fix | None = None
    stored: bool = False
    separation: Separation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An alert that is raised: its id, the messages that referred to it, and what was last said."""

    alert_id: str
    last_id: str
    raised_utc_ns: int
    last: Change

    @property
    def references(self) -> tuple[str, ...]:
        """First and latest message. Not all of them: an alert may be updated for days and a body has a size limit."""
        return (self.alert_id,) if self.last_id == self.alert_id else (self.alert_id, self.last_id)


class Ledger:
    """Which alerts are raised. Bounded by the configuration: devices x (kinds + zones + pairs)."""

    def __init__(self) -> None:
        self._raised: dict[AlertKey, Raised] = {}
        self._of_device: dict[str, dict[AlertKey, Raised]] = {}

    def find_step(self, change: Change) -> MsgType | None:
        """Say which message a change calls for; None: nothing new."""
        known = self._raised.get(change.key)
        if known is None:
            return MsgType.ALERT if change.raised else None
        if not change.raised:
            return MsgType.CANCEL
        differs = (change.band, change.level) != (known.last.band, known.last.level)
        return MsgType.UPDATE if differs else None

    def find(self, key: AlertKey) -> Raised | None:
        """Return the alert of a key if it is raised."""
        return self._raised.get(key)

    def follow(self, change: Change, step: MsgType, message_id: str) -> Raised | None:
        """Say how an alert stands after a message of ``find_step``; None: it is over."""
        if step is MsgType.CANCEL:
            return None
        known = self._raised.get(change.key)
        if known is None:
            return Raised(alert_id=message_id, last_id=message_id, raised_utc_ns=change.occurred_utc_ns, last=change)
        return Raised(alert_id=known.alert_id, last_id=message_id, raised_utc_ns=known.raised_utc_ns, last=change)

    def put(self, key: AlertKey, raised: Raised | None) -> None:
        """Note how an alert stands: after its message was made, or as an earlier start left it."""
        own = self._of_device.setdefault(key.device_id, {})
        if raised is not None:
            self._raised[key] = own[key] = raised
            return
        self._raised.pop(key, None)
        own.pop(key, None)
        if not own:
            del self._of_device[key.device_id]

    def of_device(self, device_id: str, *, late: bool = False) -> Iterator[Raised]:
        """Iterate over the alerts that are raised for a device, oldest first."""
        for key, raised in self._of_device.get(device_id, {}).items():
            if key.late is late:
                yield raised

    def all(self) -> Iterator[Raised]:
        """Iterate over all alerts that are raised."""
        return iter(tuple(self._raised.values()))

    def is_raised(self, key: AlertKey) -> bool:
        """Whether the alert of a key is raised."""
        return key in self._raised
