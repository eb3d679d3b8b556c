"""Ids and numbers of messages: a replay with the same inputs gives the same ones."""

import re
from hashlib import blake2b

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]
_TIME_BITS = 48
_HASH_BITS = 80

_INSTANCE = re.compile(r"(.+)-[1-9][0-9]{0,3}of[1-9][0-9]{0,3}")

SEQUENCE_DIGITS = 20
"""Digits of a sequence number: the CloudEvents extension orders them as text, and 2**64 has 20."""


def event_id(*, t_utc_ns: int, epoch: str, source: str, sequence: int) -> str:
    """Id of an event: 26 characters that sort by time, as a ULID does.

    Parameters
    ----------
    t_utc_ns : int
        Time of detection; its milliseconds fill the first 48 bits.
    epoch : str
        Which start of the bridge: sequence numbers begin anew with each.
    source : str
        The stream that ``sequence`` counts.
    sequence : int

    Returns
    -------
    str
        48 bits of time and 80 bits of ``blake2b(epoch, source, sequence)`` in Crockford's base 32. No randomness: the
        same event, encoded again, has the same id.
    """
    digest = blake2b(f"{epoch}\n{source}\n{sequence}".encode(), digest_size=_HASH_BITS // 8).digest()
    return _base32((t_utc_ns // 1_000_000) % (1 << _TIME_BITS) << _HASH_BITS | int.from_bytes(digest))


def epoch_id(*, t_utc_ns: int, entropy: bytes) -> str:
    """Id of one start of a bridge, from the time and at least 80 random bits, both given as data."""
    if len(entropy) < _HASH_BITS // 8:
        raise ValueError(f"an epoch needs {_HASH_BITS // 8} random bytes, got {len(entropy)}")
    tail = int.from_bytes(entropy[: _HASH_BITS // 8])
    return _base32((t_utc_ns // 1_000_000) % (1 << _TIME_BITS) << _HASH_BITS | tail)


def _base32(value: int) -> str:
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def sequence_text(sequence: int) -> str:
    """Zero-padded, so that text order is number order."""
    return f"{sequence:0{SEQUENCE_DIGITS}d}"


def instance_id(name: str, partition: str | None) -> str:
    """Name of one of several bridges that divide the devices: ``bridge-1`` and ``2/8`` give ``bridge-1-2of8``."""
    return name if partition is None else f"{name}-{partition.replace('/', 'of')}"


def find_common_name(instance: str) -> str | None:
    """Name that one of several bridges shares with the others: ``bridge-1`` of ``bridge-1-2of8``; None: it has none."""
    match = _INSTANCE.fullmatch(instance)
    return match[1] if match is not None else None
