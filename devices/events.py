"""What a driver hands on: a report or a reject of one device, with the stamps of the stages behind it."""

from dataclasses import dataclass
from enum import StrEnum, unique

from devices.clock import Clock
from protocols.rejects import Reject
from protocols.reports import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """When an event passed each stage, on the monotonic clock; ``t_rx_utc_ns`` is for people.

    Attributes
    ----------
    t_rx_mono_ns : int
        The chunk that completed the report came in.
    t_rx_utc_ns : int
        The host's UTC at that moment.
    t_decoded_mono_ns : int
        The report was decoded and handed on.
    """

    t_rx_mono_ns: int
    t_rx_utc_ns: int
    t_decoded_mono_ns: int


def stamps_now(clock: Clock) -> Stamps:
    """Stamp what a driver says by itself: it came in and was decoded now."""
    now_mono_ns = clock.mono_ns()
    return Stamps(t_rx_mono_ns=now_mono_ns, t_rx_utc_ns=clock.utc_ns(), t_decoded_mono_ns=now_mono_ns)


@unique
class LinkState(StrEnum):
    """State of the wire to a device."""

    UP = "up"
    LOST = "lost"
    """The port vanished or could not be opened; it is retried with backoff."""
    WRONG_BAUD = "wrong_baud"
    """Bytes arrive but no sentence ever frames."""
    ENDED = "ended"
    """A replay is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEvent:
    """The wire changed state. ``gap_ns`` is set on ``UP`` after a loss: how long nothing could be heard."""

    state: LinkState
    detail: str
    gap_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceEvent:
    """A radio tag has come within hearing, or has not been heard for the time limit.

    Attributes
    ----------
    present : bool
    last_heard_mono_ns : int or None
        None for a tag that was never heard.
    rssi_dbm : int or None
        Of the last advertisement.
    detail : str
    """

    present: bool
    last_heard_mono_ns: int | None
    rssi_dbm: int | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent:
    """One thing heard from, or about, one device."""

    device_id: str
    report: Report | Reject | LinkEvent | PresenceEvent
    stamps: Stamps
