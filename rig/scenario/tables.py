"""The tables of a scenario file, checked as they are read.

Places are metres east and north of an origin; the bench turns them into positions on the ellipsoid.
"""

from typing import Literal

import msgspec

from rig.emulator.profiles import DEFAULT_PROFILE

Metres = tuple[float, float]

Scalar = bool | int | float | str
"""What a parameter of a scenario or of a fault can be."""


class OriginTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Where metre 0, 0 lies."""

    lat_deg: float
    lon_deg: float


class ZoneTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One zone: ``rings_m`` (outer ring, then holes), or ``centre_m`` and ``radius_m``, or ``line_m`` and a width."""

    id: str
    purpose: Literal["exclusion", "inclusion"]
    name: str = ""
    rings_m: list[list[Metres]] = []
    centre_m: Metres | None = None
    radius_m: float | None = None
    line_m: list[Metres] = []
    half_width_m: float | None = None


class WaypointTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A place, reached at ``t_s`` or at ``speed_mps`` from the one before, where the person stays ``wait_s``."""

    at_m: Metres
    t_s: float | None = None
    speed_mps: float | None = None
    wait_s: float = 0.0


class MeetTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Two ways are to come within ``closest_m``, and no nearer, about ``at_s`` of the scenario.

    ``device`` is whom the person of the track is to meet; ``bearing_deg`` says on which side of them, from true north.
    """

    device: str
    closest_m: float
    at_s: float
    bearing_deg: float = 90.0


class RecordedTrackTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A section of a recording as a person's true way: turned about its first point, moved, and begun at a time.

    Attributes
    ----------
    gpx, csv, nmea : str
        The file, exactly one of them; beside the scenario file where the path is relative. ``.gz`` is unzipped.
    device : str
        Whose lines of a CSV file with several devices.
    from_s, to_s : float
        The section, seconds of the recording; all of it where absent.
    at_s : float
        When the section begins, seconds of the scenario. Before it the person stands at its first point.
    speed : float
        Seconds of the recording per second of the scenario.
    speed_mps : float or None
        How fast to go along it, whatever times it has; needed where it has none.
    move_to_m : tuple of float or None
        Where its first point lies; absent: where it was recorded.
    rotate_deg : float
        Turned clockwise by so much.
    meet : MeetTable or None
        In place of ``move_to_m``: moved so that it comes as near to another person as wanted.
    """

    gpx: str | None = None
    csv: str | None = None
    nmea: str | None = None
    device: str | None = None
    from_s: float = 0.0
    to_s: float | None = None
    at_s: float = 0.0
    speed: float = 1.0
    speed_mps: float | None = None
    move_to_m: Metres | None = None
    rotate_deg: float = 0.0
    meet: MeetTable | None = None


class EventTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Something that happens to a device: ``do`` is a name from ``rig.emulator.events``."""

    at_s: float
    do: str
    value: str | float | int = ""
    lasts_s: float | None = None


class SurroundingsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """From ``at_s`` on the person is in such a place; satellites and Bluetooth both follow from its name."""

    at_s: float
    profile: str


class SmartTagTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The smart tag that a protected person carries.

    Attributes
    ----------
    acknowledges_after_s : float or None
        How long she takes to press the button after a warning begins; absent: she does not.
    issued : bool
        Whether the bridge knows of it. A tag that was never issued is not on the air either.
    present : bool
        Whether it is on the air: one that was left at home, or is flat from the start, is not.
    """

    id: str
    acknowledges_after_s: float | None = None
    issued: bool = True
    present: bool = True

    @property
    def on_air(self) -> bool:
        """Whether anybody can hear it."""
        return self.issued and self.present


class BeaconTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The wearer's ankle tag advertises, for smart tags near it.

    Attributes
    ----------
    key : str
        Name of the key that it shares with the smart tags of the protected persons; absent: its device's.
    interval_s : float
        Between advertisements.
    tx_dbm : float
        Transmit power; radio profiles are stated for 0 dBm.
    """

    key: str = ""
    interval_s: float = 0.25
    tx_dbm: float = 0.0


class PersonTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A person and the device on them; their way is ``waypoint`` or ``track``.

    ``profile`` is where they are until ``surroundings`` or a ``profile`` event says otherwise. Reading a file turns a
    track into waypoints; ``recorded_from`` then tells which recording they are from.
    """

    device: str
    role: Literal["wearer", "protected"]
    name: str = ""
    profile: str = DEFAULT_PROFILE
    surroundings: list[SurroundingsTable] = []
    interval_s: float = 1.0
    battery_pct: float = 83.0
    waypoint: list[WaypointTable] = []
    track: RecordedTrackTable | None = None
    recorded_from: str = ""
    event: list[EventTable] = []
    smart_tag: SmartTagTable | None = None
    beacon: BeaconTable | None = None


class ProtectedTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Whom an order protects, and the proximity rings round them."""

    device: str
    contact_m: float
    alarm_m: float
    pre_alert_m: float


class OrderTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What the court ordered for one wearer; no ``zones`` means all zones of the scenario."""

    id: str
    wearer: str
    zones: list[str] | None = None
    protected: list[ProtectedTable] = []


class FaultTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A fault of the catalogue: ``id`` such as ``serial.bit_flip``, on a device or on the bench.

    Attributes
    ----------
    id : str
        ``layer.name``.
    at_s, lasts_s : float
        When it begins, and for how long; without an end it lasts to the end of the run, or happens once.
    device : str or None
        A person's device or smart tag; absent: the bench's.
    options : dict
        ``with`` in the file: parameters of the fault.
    """

    id: str
    at_s: float
    lasts_s: float | None = None
    device: str | None = None
    options: dict[str, Scalar] = msgspec.field(default_factory=dict, name="with")


class BrokerOutageTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The broker is killed, and started again on its port and its store."""

    at_s: float
    lasts_s: float
