"""Counters of one device, as a snapshot that anybody may keep."""

from dataclasses import dataclass

from devices.events import LinkState
from devices.smart_tag_warn import WarnCounts
from protocols.nmea import NmeaCounters


@dataclass(slots=True, kw_only=True)
class LineCounts:
    """What a driver counts itself, over all openings of its line.

    Attributes
    ----------
    opened, lost, open_failures : int
        Openings, losses, and openings that failed.
    chunks_in, bytes_out : int
    wrong_baud : int
        Times the line was found to carry bytes but no sentence.
    commands_sent, commands_resent, commands_acked, commands_expired : int
    send_failures : int
        Sentences that could not be handed to the line; the retry covers them.
    """

    opened: int = 0
    lost: int = 0
    open_failures: int = 0
    chunks_in: int = 0
    bytes_out: int = 0
    wrong_baud: int = 0
    commands_sent: int = 0
    commands_resent: int = 0
    commands_acked: int = 0
    commands_expired: int = 0
    send_failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHealth:
    """What one driver has seen since it started.

    Attributes
    ----------
    link : LinkState or None
        None before the first opening.
    line : LineCounts
    nmea : NmeaCounters
        Summed over all openings.
    last_rx_mono_ns : int or None
        Stamp of the newest chunk.
    """

    device_id: str
    link: LinkState | None
    line: LineCounts
    nmea: NmeaCounters
    last_rx_mono_ns: int | None


@dataclass(slots=True, kw_only=True)
class RadioCounts:
    """What the driver of a Bluetooth tag counts.

    Attributes
    ----------
    adverts : int
        Reports of its advertisements; ``adverts_new`` those that prove another packet.
    connected, connect_failures, lost, gave_way : int
        Connections, attempts that failed, connections that broke, and those that a more urgent tag took.
    unanswered : int
        Connections ended because the tag stopped answering.
    pair_failures, bonds_lost : int
    values, rejects : int
        Values that came, and those that were refused.
    """

    adverts: int = 0
    adverts_new: int = 0
    connected: int = 0
    connect_failures: int = 0
    lost: int = 0
    gave_way: int = 0
    unanswered: int = 0
    pair_failures: int = 0
    bonds_lost: int = 0
    values: int = 0
    rejects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartTagHealth:
    """What the driver of one smart tag has seen since it started.

    Attributes
    ----------
    link : LinkState or None
        None before the first connection or failure.
    present : bool or None
        None until it was heard or its time limit passed.
    radio : RadioCounts
    warnings : WarnCounts
    last_rx_mono_ns : int or None
        When something last proved that the tag is there.
    rssi_dbm : int or None
        Of the last advertisement.
    connect_ns : int or None
        How long the last connection took to make, services found.
    first_warning_ns, first_warning_max_ns : int or None
        From the last reconnect (and the longest of all): connection made to the standing warning taken by the tag.
    warn_write_max_ns : int or None
        Longest write of a warning, its response included.
    """

    device_id: str
    link: LinkState | None
    present: bool | None
    radio: RadioCounts
    warnings: WarnCounts
    last_rx_mono_ns: int | None
    rssi_dbm: int | None
    connect_ns: int | None
    first_warning_ns: int | None
    first_warning_max_ns: int | None
    warn_write_max_ns: int | None


def add_counters(a: NmeaCounters, b: NmeaCounters) -> NmeaCounters:
    """Sum the counters of two streams."""
    reasons = {*a.rejects_by_reason, *b.rejects_by_reason}
    return NmeaCounters(
        bytes_in=a.bytes_in + b.bytes_in,
        framed=a.framed + b.framed,
        sentences=a.sentences + b.sentences,
        ignored=a.ignored + b.ignored,
        late_sentences=a.late_sentences + b.late_sentences,
        fixes=a.fixes + b.fixes,
        rejects_by_reason={
            reason: a.rejects_by_reason.get(reason, 0) + b.rejects_by_reason.get(reason, 0) for reason in reasons
        },
    )
