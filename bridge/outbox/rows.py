"""A message as a row of the outbox's file, and reading it back: a disk may give back something else than was written.

SQLite keeps no checksums. One value that changed in a sound file must cost one message, not the thread that reads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import msgspec

from bridge.errors import OutboxRowError
from bridge.outbox import schema as sql
from bridge.outbox.joined import Value
from bridge.publisher import Lane, Message
from protocols.mqtt.messages import DELIVERED

EXPIRY_MAX_S = 2**32 - 1
"""Four bytes in MQTT 5."""

TOPIC_MAX_BYTES = 65_535
"""Two bytes of length in MQTT."""

ATTEMPTS_MAX = 2**31
"""No message is sent so often; a larger number was never written, and could not be counted on."""

NOT_IN_TOPICS = ("+", "#", "\0")

_NAMES = tuple(sql.COLUMNS.split(", "))
OWNER_AT, RECEIPT_AT = _NAMES.index("owner"), _NAMES.index("receipt")
"""Where these stand among a row's values."""

_OPTIONAL = {"expiry_s", "alert_type", "acked_utc_ns", "receipt_utc_ns"}
_TEXTS = {"owner", "topic", "source", "event_id", "properties", "alert_type"}
_KIND = {name: str if name in _TEXTS else bytes if name == "body" else int for name in _NAMES}
_SOUND_KINDS = frozenset(
    product(*((_KIND[name], type(None)) if name in _OPTIONAL else (_KIND[name],) for name in _NAMES))
)
_LANES = {int(Lane.ALERT), int(Lane.POSITION)}
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[tuple[str, str], ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """A message on disk with its fate. ``states``: delivery to each broker; ``receipt``: 1 received, 2 rejected."""

    number: int
    message: Message
    states: tuple[int, int]
    attempts: int
    t_utc_ns: int
    acked_utc_ns: int | None = None
    receipt: int = 0
    receipt_utc_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedRow:
    """A row that cannot be read back. ``source`` as far as it can be read; ``is_told``: at an earlier start, too."""

    number: int
    source: str
    detail: str
    is_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a query found: rows in its order, and those that cannot be read back."""

    rows: list[StoredRow]
    damaged: list[DamagedRow]


def row_values(row: StoredRow) -> tuple[Value, ...]:
    """Give the values of a row in the order of ``COLUMNS``."""
    message = row.message
    return (
        row.number,
        int(message.lane),
        message.owner,
        message.topic,
        message.source,
        message.sequence,
        message.event_id,
        message.body,
        int(message.retain),
        message.expiry_s,
        _encoder.encode(message.properties).decode(),
        message.alert_type.__name__ if message.alert_type is not None else None,
        *row.states,
        row.attempts,
        row.t_utc_ns,
        row.acked_utc_ns,
        row.receipt,
        row.receipt_utc_ns,
    )


def read_row(values: Sequence[Any]) -> StoredRow:  # what SQLite gives back has no types
    """Read a row from its values in the order of ``COLUMNS``.

    Raises
    ------
    OutboxRowError
        A value has another type, or is none that the outbox writes.
    """
    if tuple(map(type, values)) not in _SOUND_KINDS:
        raise OutboxRowError(_describe_kinds(values))
    (number, lane, owner, topic, source, sequence, event_id, body) = values[:8]
    (retain, expiry_s, properties, alert_type, state_0, state_1) = values[8:14]
    (attempts, t_utc_ns, acked_utc_ns, receipt, receipt_utc_ns) = values[14:]
    _check("lane", lane, is_sound=lane in _LANES)
    _check("sequence", sequence, is_sound=sequence >= 0)
    _check("expiry_s", expiry_s, is_sound=expiry_s is None or 0 <= expiry_s <= EXPIRY_MAX_S)
    _check("topic", topic, is_sound=is_topic(topic))
    _check("state_0", state_0, is_sound=state_0 in sql.STATES)
    _check("state_1", state_1, is_sound=state_1 in sql.STATES)
    _check("attempts", attempts, is_sound=0 <= attempts <= ATTEMPTS_MAX)
    _check("t_utc_ns", t_utc_ns, is_sound=t_utc_ns >= 0)
    _check("receipt", receipt, is_sound=receipt in sql.RECEIPTS)
    try:
        pairs = _decoder.decode(properties)
    except msgspec.MsgspecError as exc:
        raise OutboxRowError(f"properties are no list of pairs: {exc}") from exc
    return StoredRow(
        number=number,
        message=Message(
            topic=topic,
            body=body,
            lane=Lane(lane),
            retain=bool(retain),
            expiry_s=expiry_s,
            properties=pairs,
            alert_type=DELIVERED.get(alert_type),
            owner=owner,
            event_id=event_id,
            source=source,
            sequence=sequence,
        ),
        states=(state_0, state_1),
        attempts=attempts,
        t_utc_ns=t_utc_ns,
        acked_utc_ns=acked_utc_ns,
        receipt=receipt,
        receipt_utc_ns=receipt_utc_ns,
    )


def is_topic(topic: str) -> bool:
    """Whether a message can be published to it."""
    is_plain = bool(topic) and not any(each in topic for each in NOT_IN_TOPICS)
    return is_plain and len(topic.encode()) <= TOPIC_MAX_BYTES


def _check(name: str, value: object, *, is_sound: bool) -> None:
    if not is_sound:
        raise OutboxRowError(f"{name} is {value!r:.60}, which is never written")


def _describe_kinds(values: Sequence[object]) -> str:
    """Name the first value of another type; not what it is: a body is personal data."""
    for name, value in zip(_NAMES, values, strict=True):
        if not (isinstance(value, _KIND[name]) or (value is None and name in _OPTIONAL)):
            return f"{name} is {type(value).__name__}, expected {_KIND[name].__name__}"
    return "its values have other types than were written"
