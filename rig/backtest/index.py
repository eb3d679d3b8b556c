"""The saved index: one file of zones that any number of processes map into their memory."""

import hashlib
from pathlib import Path

import geofence_core as gc
from rig.backtest import frames

_READ_BYTES = 1 << 20


def save(zones: gc.ZoneTable, path: Path) -> None:
    """Write the index."""
    path.write_bytes(frames.pack((zones.shapes, zones.mends, zones.band_m)))


def load(path: Path) -> gc.ZoneTable:
    """Map an index into memory: its pages are shared with every other process that does."""
    shapes, mends, band_m = frames.unpack(path.read_bytes())
    return gc.ZoneTable(shapes, mends=mends, band_m=band_m)


def digest(path: Path) -> str:
    """Return a name for the content: the first 32 digits of its SHA-256."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            sha.update(piece)
    return sha.hexdigest()[:32]
