"""Sentence bodies to records; the one door to pynmea2.

pynmea2 splits the sentence; its attributes are not used, because they convert when read and fall back silently:
0.0 for an empty coordinate or a wrong hemisphere letter, the text itself for what is no number, a ValueError long after
parsing. Here every field that is used is evaluated at decode (``fields``), and a sentence is whole or refused.

Field tables (NMEA 0183 version 4.11, index after the address; fields not named are not read):

====  ==========================================================================================================
RMC   0 time, 1 status A|V, 2-5 position, 6 speed kn, 7 course, 8 date ddmmyy, 11 mode letter (2.3 and later)
GGA   0 time, 1-4 position, 5 quality, 6 satellites used, 7 HDOP, 8 altitude m
GLL   0-3 position, 4 time, 5 status A|V, 6 mode letter
GNS   0 time, 1-4 position, 5 mode letter per constellation, 6 satellites used, 7 HDOP, 8 altitude m
GSA   1 dimensions 1|2|3, 2-13 satellites used, 14 PDOP, 15 HDOP, 16 VDOP
GSV   0 messages, 1 this message, 2 satellites in view, then four fields per satellite: id, -, -, C/N0 dB-Hz; signal id
GST   0 time, 2 semi-major m, 3 semi-minor m, 4 orientation deg, 5 latitude sigma m, 6 longitude sigma m
VTG   0 course, 4 speed kn, 6 speed km/h, 8 mode letter
ZDA   0 time, 1 day, 2 month, 3 year
GBS   0 time, 1 latitude error m, 2 longitude error m, 3 altitude error m
====  ==========================================================================================================
"""

from collections.abc import Callable

import pynmea2

from protocols.nmea.dates import find_day, find_short_day
from protocols.nmea.fields import (
    MPS_PER_KMH,
    MPS_PER_KNOT,
    FieldRefusedError,
    Position,
    count,
    course,
    find_position,
    non_negative,
    number,
    time_of_day,
)
from protocols.nmea.records import Claim, Ground, Kind, Moment, Noise, Sentence, Solution, View
from protocols.rejects import RejectReason
from protocols.reports import FixMode, FixQuality, FixState

_LETTERS: dict[str, tuple[FixState, FixQuality]] = {
    "R": (FixState.POSITION, FixQuality.RTK_FIXED),
    "F": (FixState.POSITION, FixQuality.RTK_FLOAT),
    "P": (FixState.POSITION, FixQuality.PRECISE),
    "D": (FixState.POSITION, FixQuality.DIFFERENTIAL),
    "A": (FixState.POSITION, FixQuality.GNSS),
    "E": (FixState.DEAD_RECKONING, FixQuality.ESTIMATED),
    "M": (FixState.MANUAL, FixQuality.MANUAL),
    "S": (FixState.SIMULATOR, FixQuality.SIMULATOR),
    "N": (FixState.NO_FIX, FixQuality.INVALID),
}
"""Mode letters, best first: a GNS sentence has one per constellation and the best of them is the solution's."""

_QUALITY_DIGITS: dict[str, tuple[FixState, FixQuality | None]] = {
    "": (FixState.NO_FIX, None),
    "0": (FixState.NO_FIX, FixQuality.INVALID),
    "1": (FixState.POSITION, FixQuality.GNSS),
    "2": (FixState.POSITION, FixQuality.DIFFERENTIAL),
    "3": (FixState.POSITION, FixQuality.PRECISE),
    "4": (FixState.POSITION, FixQuality.RTK_FIXED),
    "5": (FixState.POSITION, FixQuality.RTK_FLOAT),
    "6": (FixState.DEAD_RECKONING, FixQuality.ESTIMATED),
    "7": (FixState.MANUAL, FixQuality.MANUAL),
    "8": (FixState.SIMULATOR, FixQuality.SIMULATOR),
    "9": (FixState.POSITION, FixQuality.DIFFERENTIAL),
}
"""GGA quality. 9 is NovAtel's digit for a satellite-based (SBAS) differential solution."""

_GSA_FIELDS = 17
"""Fields of GSA up to version 4.0; 4.1 adds the system id."""

_MODES = {"": None, "1": FixMode.NONE, "2": FixMode.TWO_D, "3": FixMode.THREE_D}


def split(address: str, body: str) -> list[str]:
    """Return the fields of a sentence as pynmea2 splits them.

    Its grammar takes every address that begins with P as proprietary; talker ``PQ`` (Quectel, BeiDou) is none, so the
    talker is replaced for the split.
    """
    if address[0] == "P":
        body = "GP" + body[2:]
    fields: list[str] = pynmea2.NMEASentence.parse(body).data
    return fields


def _status_state(name: str, status: str, letter: str) -> tuple[FixState, FixQuality | None]:
    """Combine the status letter with the mode letter; one that the standard does not have says nothing."""
    if status not in ("A", "V", ""):
        raise FieldRefusedError(RejectReason.BAD_FIELD, f"{name} status: expected A or V, got {status!r}")
    state, quality = _LETTERS.get(letter, (FixState.POSITION, None))
    if status != "A" and state is FixState.POSITION:
        return FixState.NO_FIX, FixQuality.INVALID
    return state, quality


def _located(state: FixState, position: Position | None) -> tuple[FixState, Position | None]:
    if state is FixState.POSITION and position is not None:
        return state, position
    return (FixState.NO_FIX if state is FixState.POSITION else state), None


def _rmc(talker: str, fields: list[str]) -> Claim:
    _pad(fields, 12)
    state, quality = _status_state("RMC", fields[1], fields[11])
    state, position = _located(state, find_position(fields, 2))
    return Claim(
        kind=Kind.RMC,
        talker=talker,
        time_of_day_ns=time_of_day(fields[0]),
        state=state,
        position=position,
        quality=quality,
        day=find_short_day(fields[8]),
        speed_mps=_scaled(non_negative("speed", fields[6]), MPS_PER_KNOT),
        course_deg=course("course", fields[7]),
    )


def _gga(talker: str, fields: list[str]) -> Claim:
    _pad(fields, 9)
    known = _QUALITY_DIGITS.get(fields[5].strip())
    if known is None:
        raise FieldRefusedError(RejectReason.BAD_FIELD, f"GGA quality: expected 0 to 9, got {fields[5]!r}")
    state, quality = known
    state, position = _located(state, find_position(fields, 1))
    return Claim(
        kind=Kind.GGA,
        talker=talker,
        time_of_day_ns=time_of_day(fields[0]),
        state=state,
        position=position,
        quality=quality,
        alt_m=number("altitude", fields[8]),
        satellites_used=count("satellites used", fields[6]),
        hdop=non_negative("HDOP", fields[7]) or None,
    )


def _gll(talker: str, fields: list[str]) -> Claim:
    # Before version 2.0 GLL had neither time nor status: four fields, and they were a position.
    has_status = len(fields) > 5
    _pad(fields, 7)
    status = fields[5] if has_status else "A"
    state, quality = _status_state("GLL", status, fields[6])
    state, position = _located(state, find_position(fields, 0))
    return Claim(
        kind=Kind.GLL,
        talker=talker,
        time_of_day_ns=time_of_day(fields[4]),
        state=state,
        position=position,
        quality=quality,
    )


def _gns(talker: str, fields: list[str]) -> Claim:
    _pad(fields, 9)
    letters = fields[5]
    best = next((letter for letter in _LETTERS if letter in letters), "N")
    state, quality = _LETTERS[best]
    state, position = _located(state, find_position(fields, 1))
    return Claim(
        kind=Kind.GNS,
        talker=talker,
        time_of_day_ns=time_of_day(fields[0]),
        state=state,
        position=position,
        quality=quality,
        alt_m=number("altitude", fields[8]),
        satellites_used=count("satellites used", fields[6]),
        hdop=non_negative("HDOP", fields[7]) or None,
    )


def _gsa(talker: str, fields: list[str]) -> Solution:
    _pad(fields, _GSA_FIELDS)
    if fields[1] not in _MODES:
        raise FieldRefusedError(RejectReason.BAD_FIELD, f"GSA mode: expected 1, 2 or 3, got {fields[1]!r}")
    # Some receivers have more than twelve places for satellites; the three DOPs are then the last fields.
    dops_at = 14 if len(fields) <= _GSA_FIELDS + 1 else len(fields) - 3
    return Solution(
        talker=talker,
        mode=_MODES[fields[1]],
        satellites_used=sum(1 for satellite in fields[2:dops_at] if satellite),
        pdop=non_negative("PDOP", fields[dops_at]) or None,
        hdop=non_negative("HDOP", fields[dops_at + 1]) or None,
        vdop=non_negative("VDOP", fields[dops_at + 2]) or None,
    )


def _gsv(talker: str, fields: list[str]) -> View:
    _pad(fields, 3)
    messages = count("messages", fields[0])
    message = count("message number", fields[1])
    satellites = []
    last = len(fields) - 1
    at = 3
    while at + 3 <= last:
        # A C/N0 of 0 is how some receivers write "not tracked".
        cn0_dbhz = non_negative("C/N0", fields[at + 3])
        if cn0_dbhz and fields[at]:
            satellites.append((fields[at], cn0_dbhz))
        at += 4
    return View(
        talker=talker,
        signal_id=fields[at] if at == last else "",
        is_first=message == 1,
        is_last=message == messages,
        satellites_in_view=count("satellites in view", fields[2]),
        cn0_dbhz_by_satellite=tuple(satellites),
    )


def _gst(talker: str, fields: list[str]) -> Noise:
    _pad(fields, 7)
    return Noise(
        talker=talker,
        time_of_day_ns=time_of_day(fields[0]),
        semi_major_m=non_negative("semi-major axis", fields[2]),
        semi_minor_m=non_negative("semi-minor axis", fields[3]),
        orientation_deg=number("orientation", fields[4]),
        lat_sigma_m=non_negative("latitude sigma", fields[5]),
        lon_sigma_m=non_negative("longitude sigma", fields[6]),
    )


def _vtg(talker: str, fields: list[str]) -> Ground:
    has_units = len(fields) > 4
    _pad(fields, 9)
    if not has_units:
        # Before version 2.0 VTG had no unit letters: course true, course magnetic, knots, km/h.
        true_text, knots_text, kmh_text, letter = fields[0], fields[2], fields[3], ""
    else:
        true_text, knots_text, kmh_text, letter = fields[0], fields[4], fields[6], fields[8]
    speed_mps = _scaled(non_negative("speed", knots_text), MPS_PER_KNOT)
    kmh_mps = _scaled(non_negative("speed", kmh_text), MPS_PER_KMH)
    quality = _LETTERS[letter][1] if letter in _LETTERS else None
    return Ground(
        talker=talker,
        speed_mps=speed_mps if speed_mps is not None else kmh_mps,
        course_deg=course("course", true_text),
        quality=quality,
    )


def _zda(talker: str, fields: list[str]) -> Moment:
    _pad(fields, 4)
    return Moment(
        kind=Kind.ZDA,
        talker=talker,
        time_of_day_ns=time_of_day(fields[0]),
        day=find_day(fields[1], fields[2], fields[3]),
    )


def _gbs(talker: str, fields: list[str]) -> Moment:
    _pad(fields, 4)
    for name, text in zip(("latitude error", "longitude error", "altitude error"), fields[1:4], strict=True):
        non_negative(name, text)
    return Moment(kind=Kind.GBS, talker=talker, time_of_day_ns=time_of_day(fields[0]), day=None)


def _pad(fields: list[str], width: int) -> None:
    """Give fields that older versions of the standard do not have an empty text."""
    if len(fields) < width:
        fields.extend([""] * (width - len(fields)))


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


_DECODERS: dict[str, Callable[[str, list[str]], Sentence]] = {
    "RMC": _rmc,
    "GGA": _gga,
    "GLL": _gll,
    "GNS": _gns,
    "GSA": _gsa,
    "GSV": _gsv,
    "GST": _gst,
    "VTG": _vtg,
    "ZDA": _zda,
    "GBS": _gbs,
}


def find_kind(address: str) -> str | None:
    """Return the type of a sentence that is decoded, or None for any other, proprietary ones included.

    ``PGRMC`` is Garmin's, not an RMC of talker PG: an address with P is proprietary, with the one exception ``PQ``.
    """
    if len(address) != 5 or (address[0] == "P" and address[1] != "Q"):
        return None
    kind = address[2:]
    return kind if kind in _DECODERS else None


def decode(address: str, kind: str, body: str) -> Sentence:
    """Evaluate every field in use.

    Raises
    ------
    FieldRefusedError
        One of them cannot be what the sentence says it is.
    """
    return _DECODERS[kind](address[:2], split(address, body))
