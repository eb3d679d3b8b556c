"""Raised alerts as they are kept over a restart: no position, no distance, only what the next message needs."""

import msgspec

from bridge.alerts.change import AlertKey, Change, Raised
from bridge.publisher import Saved
from devices.events import Stamps
from protocols.mqtt.messages import AlertKind, BandName, ZoneRef
from protocols.mqtt.topics import Side

ROOM = "ledger/"
"""Start of the keys of this room."""


class KeptAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A raised alert. Fields of a later version are ignored."""

    alert_id: str
    last_id: str
    raised_utc_ns: int
    device_id: str
    side: Side
    kind: AlertKind
    about: str
    late: bool
    occurred_utc_ns: int
    shown_by: str
    reason: str
    band: BandName | None
    level: str | None
    zone: ZoneRef | None
    stored: bool

    @property
    def key(self) -> AlertKey:
        """Its key in the ledger."""
        return AlertKey(device_id=self.device_id, kind=self.kind, about=self.about, late=self.late)

    def as_raised(self, stamps: Stamps) -> Raised:
        """Give it back to the ledger; ``stamps``: of now, for those of an earlier boot mean nothing."""
        last = Change(
            key=self.key,
            raised=True,
            occurred_utc_ns=self.occurred_utc_ns,
            stamps=stamps,
            shown_by=self.shown_by,
            reason=self.reason,
            band=self.band,
            level=self.level,
            zone=self.zone,
            stored=self.stored,
        )
        return Raised(alert_id=self.alert_id, last_id=self.last_id, raised_utc_ns=self.raised_utc_ns, last=last)


PROGRESS = "progress/newest"
"""Key under which a device's newest live fix is kept: what its memory tells of before is late."""


def save_progress(device_id: str, newest_utc_ns: int) -> Saved:
    """Keep how far a device has come."""
    return Saved(owner=device_id, key=PROGRESS, value=str(newest_utc_ns).encode())


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(KeptAlert)


def save_alert(key: AlertKey, raised: Raised | None, side: Side) -> Saved:
    """Keep an alert as it is after its newest message; None: it is over."""
    name = f"{ROOM}{key.kind}/{'late' if key.late else 'live'}/{key.about}"
    if raised is None:
        return Saved(owner=key.device_id, key=name, value=None)
    last = raised.last
    kept = KeptAlert(
        alert_id=raised.alert_id,
        last_id=raised.last_id,
        raised_utc_ns=raised.raised_utc_ns,
        device_id=key.device_id,
        side=side,
        kind=key.kind,
        about=key.about,
        late=key.late,
        occurred_utc_ns=last.occurred_utc_ns,
        shown_by=last.shown_by,
        reason=last.reason,
        band=last.band,
        level=last.level,
        zone=last.zone,
        stored=last.stored,
    )
    return Saved(owner=key.device_id, key=name, value=_encoder.encode(kept))


def read_alert(value: bytes) -> KeptAlert:
    """Read what ``save_alert`` kept.

    Raises
    ------
    msgspec.MsgspecError
        It is not one.
    """
    return _decoder.decode(value)
