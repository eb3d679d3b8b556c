"""Parts that payloads of both sides share: GeoJSON positions, references, how a message was delivered and timed."""

from typing import Literal

import msgspec

from protocols.mqtt.words import BandName


class Point(msgspec.Struct, frozen=True, tag="Point", tag_field="type"):
    """GeoJSON point: longitude, latitude and, if known, altitude in metres."""

    coordinates: tuple[float, ...]


class PositionProperties(msgspec.Struct, frozen=True):
    """What is known of a fix. ``time`` is the receiver's own; ``date_rule`` says where its date came from."""

    time: str | None
    accuracy_m: float | None
    accuracy_rule: str | None
    speed_mps: float | None
    course_deg: float | None
    fix: str
    date_rule: str
    stored: bool
    late: bool


class Position(msgspec.Struct, frozen=True, tag="Feature", tag_field="type"):
    """GeoJSON feature."""

    geometry: Point
    properties: PositionProperties


class ZoneRef(msgspec.Struct, frozen=True):
    """The zone an alert is about."""

    id: str
    type: Literal["exclusion", "inclusion"]
    name: str | None


class PartyBand(msgspec.Struct, frozen=True):
    """All that a wearer-side reader learns about the protected person: a reference and a band."""

    ref: str
    band: BandName


class DeviceState(msgspec.Struct, frozen=True):
    """The tag about itself when the alert was detected; null where it never said."""

    battery_pct: int | None = None
    strap: str | None = None
    case: str | None = None


class Delivery(msgspec.Struct, frozen=True):
    """``attempt`` counts the sendings of one id; ``epoch`` names the start of the bridge that numbered it."""

    attempt: int
    durable: bool
    epoch: str


class Trace(msgspec.Struct, frozen=True):
    """When the alert passed each stage, CLOCK_MONOTONIC of the machine whose boot is ``boot_id``."""

    boot_id: str
    device_id: str
    rx_mono_ns: int
    decoded_mono_ns: int
    judged_mono_ns: int
    submitted_mono_ns: int
