"""A zones file with its index beside it, so that a restart need not read, check and index the zones anew."""

import contextlib
import hashlib
import logging
import os
from pathlib import Path

import msgspec

from geofence_core.errors import ZoneFileError
from geofence_core.zones import ZoneTable

_log = logging.getLogger(__name__)

PARTS = ("grids",)
"""What is saved beside the zones: the index of own zones, which is all that judging a fix needs."""

HEAD_BYTES = 65_536
"""Bytes of the index that its note is tied to. They hold the checksum over the arrays behind them."""

LAYOUT = 1
"""Layout of the note. A note of another one is not believed, and the index is written anew."""


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an index was made of, in a file of its own beside it."""

    layout: int
    zones_sha256: str
    mend: bool
    index_head: str


def note_path(index: Path) -> Path:
    """Where the note of an index stands."""
    return index.with_name(f"{index.name}.note")


def open_zones(file: Path, index: Path, *, mend: bool, write: bool) -> ZoneTable:
    """Map the index of a zones file; make it where it is absent, damaged, or of other zones.

    Parameters
    ----------
    file : pathlib.Path
        The zones (GeoJSON), always read: its hash decides.
    index : pathlib.Path
    mend : bool
        An index of mended zones does not stand for a configuration that refuses them, and the other way round.
    write : bool
        Whether an index may be written. One that cannot be written is told, and the zones are used without.

    Raises
    ------
    GeofenceError
        The zones file cannot be used.
    """
    try:
        zones_sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        # Absent or unreadable: the core says so in its own words.
        return ZoneTable.from_geojson(file, mend=mend)
    found = _find(index, zones_sha256, mend)
    if found is not None:
        return found
    table = ZoneTable.from_geojson(file, mend=mend)
    if not write:
        return table
    try:
        _write(table, index, zones_sha256, mend)
        return ZoneTable.open(index)
    except (ZoneFileError, OSError) as exc:
        _log.warning("%s: the index of the zones is not kept, every start reads them anew: %s", index, exc)
        return table


def _find(index: Path, zones_sha256: str, mend: bool) -> ZoneTable | None:
    """Open an index that was made of these zones; None: there is none."""
    try:
        note = msgspec.json.decode(note_path(index).read_bytes(), type=_Note)
        if (note.layout, note.zones_sha256, note.mend) != (LAYOUT, zones_sha256, mend):
            _log.info("%s: made of other zones; it is made anew", index)
            return None
        if note.index_head != _head(index):
            _log.warning("%s: not the index that its note is about; it is made anew", index)
            return None
        return ZoneTable.open(index, verify=True)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, ZoneFileError) as exc:
        _log.warning("%s cannot be used and is made anew: %s", index, exc)
        return None


def _write(table: ZoneTable, index: Path, zones_sha256: str, mend: bool) -> None:
    """Write index and note. The old note goes first: between the two there is none that could be believed."""
    note = note_path(index)
    note.unlink(missing_ok=True)
    table.save(index, parts=PARTS)
    body = msgspec.json.encode(_Note(layout=LAYOUT, zones_sha256=zones_sha256, mend=mend, index_head=_head(index)))
    fresh = note.with_name(f"{note.name}.{os.getpid()}")
    try:
        fresh.write_bytes(body)
        fresh.replace(note)
    finally:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
    _log.info("%s: index of %d zones written", index, len(table))


def _head(index: Path) -> str:
    with index.open("rb") as file:
        return hashlib.sha256(file.read(HEAD_BYTES)).hexdigest()
