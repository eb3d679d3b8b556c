"""The tag's own sentences, manufacturer id ``TRG``: status up, commands down, answers up. Both directions, sans-I/O.

Layouts (field tables in ``protocols/README.md``)::

    $PTRGS,1,<utc>,<seq>,<L|S>,<strap>,<case>,<shield>,<jam>,<batt %>,<batt mV>,<charging>,<motion>,<temp C>,<fw>*hh
    $PTRGC,<id>,<verb>[,<argument>]*hh
    $PTRGA,<id>,<OK|REFUSED|UNKNOWN>[,<value>]*hh
"""

import re
from dataclasses import dataclass
from typing import TypeVar

from protocols.errors import EncodeError
from protocols.nmea.checksum import seal
from protocols.nmea.dates import find_day, join
from protocols.nmea.fields import FieldRefusedError, time_of_day
from protocols.nmea.framer import Framer
from protocols.nmea.text import date_text, time_text
from protocols.rejects import Reject, RejectReason
from protocols.reports import Closure, CommandAck, CommandOutcome, CommandVerb, Jamming, TagStatus

STATUS_ADDRESS = "PTRGS"
COMMAND_ADDRESS = "PTRGC"
ACK_ADDRESS = "PTRGA"

LAYOUT_VERSION = 1
"""First field of the status sentence. A decoder refuses any other, so that a tag of a later layout is not misread."""

MAX_SEQUENCE = 2**32 - 1
"""Status sequence numbers are 32 bits wide: at ten a second they wrap after 13 years, longer than a tag lives."""

MAX_COMMAND_ID = 65_535
"""Command ids are 16 bits wide; an answer outlives its command by minutes, not by 65,535 commands."""

MAX_TEXT_CHARS = 48
"""Longest argument, answer or firmware text. A sentence then stays within 82 bytes for commands and answers, as the
standard asks, and far below the framer's cap for the status."""

_STATUS_FIELDS = 14
_TEXT = re.compile(r"[\x20-\x7e]*")
_RESERVED = frozenset("$*,!\\^~")
_TEMPERATURE = re.compile(r"-?[0-9]{1,3}\.[0-9]")
_UTC = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{6}(?:\.[0-9]+)?)")
_CLOSURES = {"C": Closure.CLOSED, "O": Closure.OPEN}
_FLAGS = {"0": False, "1": True}
_STORED = {"L": False, "S": True}
_JAMMING = {str(level.value): level for level in Jamming}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A downlink command. ``verb`` is None where the tag does not know ``verb_text``: it answers ``UNKNOWN``."""

    command_id: int
    verb: CommandVerb | None
    verb_text: str
    argument: str = ""


def encode_status(
    *,
    sequence: int,
    stored: bool,
    strap: Closure,
    case: Closure,
    shielded: bool,
    jamming: Jamming,
    battery_pct: int,
    battery_mv: int,
    charging: bool,
    motion: bool,
    temperature_c: float | None,
    firmware: str,
    t_status_utc_ns: int | None,
) -> bytes:
    """Return a whole status sentence. The time is cut to milliseconds, the temperature rounded to 0.1 degrees.

    Raises
    ------
    EncodeError
        A value has no place on the wire.
    """
    utc = "" if t_status_utc_ns is None else date_text(t_status_utc_ns) + time_text(t_status_utc_ns, 3)
    temperature = "" if temperature_c is None else f"{temperature_c:.1f}"
    if temperature and not _TEMPERATURE.fullmatch(temperature):
        raise EncodeError(f"temperature_c: expected -999.9 to 999.9 or None, got {temperature_c!r}")
    fields = (
        STATUS_ADDRESS,
        str(LAYOUT_VERSION),
        utc,
        _ranged("sequence", sequence, MAX_SEQUENCE),
        "S" if stored else "L",
        "O" if strap is Closure.OPEN else "C",
        "O" if case is Closure.OPEN else "C",
        "1" if shielded else "0",
        str(int(jamming)),
        _ranged("battery_pct", battery_pct, 100),
        _ranged("battery_mv", battery_mv, 65_535),
        "1" if charging else "0",
        "1" if motion else "0",
        temperature,
        _safe("firmware", firmware),
    )
    return seal(",".join(fields))


def encode_command(command_id: int, verb: CommandVerb, argument: str = "") -> bytes:
    """Return a whole command sentence; ``EncodeError`` for a value that has no place on the wire."""
    return _join_sentence(COMMAND_ADDRESS, command_id, verb.value, "argument", argument)


def encode_ack(command_id: int, outcome: CommandOutcome, value: str = "") -> bytes:
    """Return a whole answer sentence; ``EncodeError`` for a value that has no place on the wire."""
    return _join_sentence(ACK_ADDRESS, command_id, outcome.value, "value", value)


def decode_status(offset: int, body: str) -> TagStatus:
    """Body of a status sentence to its report; ``FieldRefusedError`` for a field that cannot be."""
    fields = body.split(",")[1:]
    if len(fields) != _STATUS_FIELDS:
        raise FieldRefusedError(RejectReason.BAD_FIELD, f"status: expected {_STATUS_FIELDS} fields, got {len(fields)}")
    if fields[0] != str(LAYOUT_VERSION):
        raise FieldRefusedError(RejectReason.BAD_FIELD, f"layout: expected {LAYOUT_VERSION}, got {fields[0]!r}")
    temperature = fields[12]
    if temperature and not _TEMPERATURE.fullmatch(temperature):
        raise FieldRefusedError(RejectReason.BAD_FIELD, f"temperature: expected one decimal, got {temperature!r}")
    return TagStatus(
        offset=offset,
        t_status_utc_ns=_utc_ns(fields[1]),
        sequence=_whole("sequence", fields[2], MAX_SEQUENCE),
        stored=_chosen("live or stored", fields[3], _STORED),
        strap=_chosen("strap", fields[4], _CLOSURES),
        case=_chosen("case", fields[5], _CLOSURES),
        shielded=_chosen("shield", fields[6], _FLAGS),
        jamming=_chosen("jamming", fields[7], _JAMMING),
        battery_pct=_whole("battery percent", fields[8], 100),
        battery_mv=_whole("battery millivolts", fields[9], 65_535),
        charging=_chosen("charging", fields[10], _FLAGS),
        motion=_chosen("motion", fields[11], _FLAGS),
        temperature_c=float(temperature) if temperature else None,
        firmware=fields[13],
    )


def decode_ack(offset: int, body: str) -> CommandAck:
    """Body of an answer sentence to its report; ``FieldRefusedError`` for a field that cannot be."""
    fields = _split_sentence(body)
    outcomes = {outcome.value: outcome for outcome in CommandOutcome}
    return CommandAck(
        offset=offset,
        command_id=_whole("command id", fields[0], MAX_COMMAND_ID),
        outcome=_chosen("outcome", fields[1], outcomes),
        value=fields[2],
    )


def decode_command(sentence: bytes) -> Command | Reject | None:
    """One whole sentence, as the tag receives it: a command, why it is none, or None for any other sentence."""
    framer = Framer()
    frames = framer.feed(sentence) + framer.close()
    if not frames:
        return Reject(offset=0, reason=RejectReason.TRUNCATED, raw=sentence, detail="no sentence")
    if isinstance(frames[0], Reject):
        return frames[0]
    return _command(frames[0].offset, frames[0].body, frames[0].raw)


class CommandReceiver:
    """The tag's end of the downlink: bytes in any pieces to commands and rejects; other sentences are passed over."""

    __slots__ = ("_framer",)

    def __init__(self) -> None:
        self._framer = Framer()

    def feed(self, data: bytes) -> list[Command | Reject]:
        """Take the next bytes; return what they completed."""
        out: list[Command | Reject] = []
        for frame in self._framer.feed(data):
            got = frame if isinstance(frame, Reject) else _command(frame.offset, frame.body, frame.raw)
            if got is not None:
                out.append(got)
        return out


def _command(offset: int, body: bytes, raw: bytes) -> Command | Reject | None:
    text = body.decode("ascii")
    if text.partition(",")[0] != COMMAND_ADDRESS:
        return None
    try:
        fields = _split_sentence(text)
        command_id = _whole("command id", fields[0], MAX_COMMAND_ID)
    except FieldRefusedError as exc:
        return Reject(offset=offset, reason=exc.reason, raw=raw, detail=exc.detail)
    verb = next((verb for verb in CommandVerb if verb.value == fields[1]), None)
    return Command(command_id=command_id, verb=verb, verb_text=fields[1], argument=fields[2])


def _join_sentence(address: str, command_id: int, word: str, name: str, text: str) -> bytes:
    fields = [address, _ranged("command_id", command_id, MAX_COMMAND_ID), word]
    if text:
        fields.append(_safe(name, text))
    return seal(",".join(fields))


def _split_sentence(body: str) -> list[str]:
    fields = body.split(",")[1:]
    if not 2 <= len(fields) <= 3:
        raise FieldRefusedError(RejectReason.BAD_FIELD, f"expected 2 or 3 fields, got {len(fields)}")
    return [*fields, ""]


def _ranged(name: str, value: int, limit: int) -> str:
    if not 0 <= value <= limit:
        raise EncodeError(f"{name}: expected 0 to {limit}, got {value!r}")
    return str(value)


def _safe(name: str, text: str) -> str:
    if len(text) > MAX_TEXT_CHARS or not _TEXT.fullmatch(text) or not _RESERVED.isdisjoint(text):
        raise EncodeError(
            f"{name}: expected at most {MAX_TEXT_CHARS} printable ASCII characters without "
            f"{' '.join(sorted(_RESERVED))}, got {text!r}"
        )
    return text


def _whole(name: str, text: str, limit: int) -> int:
    if not text.isdigit() or len(text) > 10 or int(text) > limit:
        raise FieldRefusedError(RejectReason.BAD_FIELD, f"{name}: expected 0 to {limit}, got {text!r}")
    return int(text)


def _chosen(name: str, text: str, choices: dict[str, _T]) -> _T:
    if text not in choices:
        raise FieldRefusedError(RejectReason.BAD_FIELD, f"{name}: expected {' or '.join(choices)}, got {text!r}")
    return choices[text]


def _utc_ns(text: str) -> int | None:
    if not text:
        return None
    match = _UTC.fullmatch(text)
    day = find_day(match[3], match[2], match[1]) if match else None
    time_of_day_ns = time_of_day(match[4]) if match else None
    if day is None or time_of_day_ns is None:
        raise FieldRefusedError(RejectReason.BAD_FIELD, f"status time: expected yyyymmddhhmmss.sss, got {text!r}")
    return join(day, time_of_day_ns)
