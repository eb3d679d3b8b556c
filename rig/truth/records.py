"""The truth log of an emulated device: one JSON object a line, written while it runs."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from rig.errors import ScenarioError


class TruthHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="header"):
    """First line: what ran. ``speed`` is None for an unpaced run."""

    version: int
    device_id: str
    seed: int
    profile: str
    start_utc_ns: int
    start_mono_ns: int
    speed: float | None
    interval_s: float
    origin_lat_deg: float
    origin_lon_deg: float


class TruthEpoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="epoch"):
    """One epoch as it went onto the wire.

    ``lat_deg`` and ``lon_deg`` are what the tag reported (None without a fix), ``true_*`` where it was;
    ``sigma_m`` is the reported standard deviation per axis. ``t_write_mono_ns`` is the monotonic clock just before the
    ``write`` that completed the epoch; ``bytes_lost`` of it never reached the reader.
    """

    sequence: int
    t_s: float
    t_utc_ns: int
    stored: bool
    true_lat_deg: float
    true_lon_deg: float
    lat_deg: float | None
    lon_deg: float | None
    sigma_m: float | None
    t_write_mono_ns: int
    bytes_written: int
    bytes_lost: int


class TruthEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="event"):
    """Something happened to the device, at tag time ``t_s``."""

    t_s: float
    kind: str
    value: str
    t_mono_ns: int


class TruthCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="command"):
    """The device received a command; ``repeated`` marks a retry that had no further effect."""

    t_s: float
    command_id: int
    verb: str
    argument: str
    outcome: str
    repeated: bool
    t_mono_ns: int


class TruthEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="end"):
    """Last line: what the run came to. Bytes unheard went out while nobody had the port open."""

    t_s: float
    epochs: int
    bytes_written: int
    bytes_lost: int
    bytes_unheard: int
    stored_dropped: int


TruthRecord = TruthHeader | TruthEpoch | TruthEvent | TruthCommand | TruthEnd

_DECODER: msgspec.json.Decoder[TruthRecord] = msgspec.json.Decoder(TruthRecord)
_ENCODER = msgspec.json.Encoder()


def encode_record(record: TruthRecord) -> bytes:
    """One line, line end included."""
    return _ENCODER.encode(record) + b"\n"


def decode_record(line: bytes) -> TruthRecord:
    """Read one line of a truth log.

    Raises
    ------
    ScenarioError
        The line is no record of a truth log.
    """
    try:
        return _DECODER.decode(line)
    except msgspec.DecodeError as exc:
        raise ScenarioError(f"not a line of a truth log: {line[:80]!r}: {exc}") from exc


def read_truth(path: Path) -> Iterator[TruthRecord]:
    """All records of a truth log; a torn last line is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield decode_record(line)
