"""Lines of the disclosure log: how one is made, read and chained to the one before. Pure; ``disclosure`` writes them.

A line is a JSON object whose last field is its hash::

    {"n":17,"kind":"sent","t":"2026-11-23T08:00:00.123Z", ... ,"prev":"<64 hex>","hash":"<64 hex>"}

    hash = SHA-256 of the line's bytes before ``,"hash":``, which hold the hash of the line before as ``prev``

so a line that is changed, taken out, put in or moved breaks the chain at its place. What cannot be seen from the chain
alone is that its newest lines were taken away, or that all of it was made anew: for that, compare its head with one
that was noted elsewhere.
"""

import hashlib
import re
from typing import Literal

import msgspec

GENESIS = "0" * 64
"""``prev`` of the first line of a chain."""

_HASH_FIELD = b',"hash":"'
_TAIL_BYTES = len(_HASH_FIELD) + 64 + len(b'"}')
_HEX = re.compile(rb"[0-9a-f]{64}")


class Opened(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="opened", tag_field="kind"):
    """The bridge was started: under which name and version, and which start it is."""

    n: int
    t: str
    bridge: str
    version: str
    epoch: str
    prev: str


class Sent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="sent", tag_field="kind"):
    """One message was handed to the connection to an outside broker.

    ``to`` and ``client_id``: the endpoint and under which name we spoke to it. ``sha256`` and ``length``: of the body.
    """

    n: int
    t: str
    to: str
    client_id: str
    topic: str
    id: str
    type: str
    sha256: str
    length: int
    attempt: int
    purpose: str
    prev: str


class Torn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="torn", tag_field="kind"):
    """Found at a start: the bytes before this line are what a crash left of lines that were being written."""

    n: int
    t: str
    offset: int
    length: int
    sha256: str
    prev: str


class Gap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="gap", tag_field="kind"):
    """The disk refused lines for so long that ``lines`` of them were given up; alerts were sent all the same."""

    n: int
    t: str
    lines: int
    first: str
    last: str
    reason: str
    prev: str


Line = Opened | Sent | Torn | Gap
Kind = Literal["opened", "sent", "torn", "gap"]

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def seal(line: Line) -> tuple[bytes, str]:
    """Return a line's bytes with its line end, and its hash."""
    head = _encoder.encode(line)[:-1]
    digest = hashlib.sha256(head).hexdigest()
    return b"".join((head, _HASH_FIELD, digest.encode(), b'"}\n')), digest


def find_hash(raw: bytes) -> str | None:
    """Return the hash of a line without its line end; None where the line does not have the hash that it states."""
    head, tail = raw[:-_TAIL_BYTES], raw[-_TAIL_BYTES:]
    if not head or not tail.startswith(_HASH_FIELD) or not tail.endswith(b'"}'):
        return None
    stated = tail[len(_HASH_FIELD) : -2]
    if _HEX.fullmatch(stated) is None or hashlib.sha256(head).hexdigest().encode() != stated:
        return None
    return stated.decode()


def read_line(raw: bytes) -> Line:
    """Read a line whose hash is right.

    Raises
    ------
    ValueError
        It is not a line of this log's format.
    """
    try:
        return _decoder.decode(raw[:-_TAIL_BYTES] + b"}")
    except msgspec.MsgspecError as exc:
        raise ValueError(f"not a line of a disclosure log: {exc}") from exc
