r"""Saved tables: one file that any number of processes map into their memory.

::

      byte 0             64                          aligned to 64
      +------------------+---------------------------+--------+--------+-----
      | magic, version,  | JSON: ids, names, mends,  | array  | array  | ...    raw, little-endian
      | lengths, checks  | name -> dtype shape place |        |        |
      +------------------+---------------------------+--------+--------+-----

Opening reads the first two parts; the arrays are slices of the mapping, so their pages are read when they are first
used, and are shared by all processes that have the file open. The file is written under another name and then renamed:
who has the old one mapped keeps it.
"""

import json
import os
import struct
import sys
import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from os import PathLike
from pathlib import Path
from typing import IO, Any, TypeVar, cast, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from geofence_core.build import ZoneArrays
from geofence_core.edges import EdgeTable
from geofence_core.errors import ZoneFileError
from geofence_core.grids import ZoneGrids
from geofence_core.shapes import DrawnArrays, DrawnShapes, Mend
from geofence_core.sheets import Sheets
from geofence_core.sweep import SweepIndex

MAGIC = b"\x89zones\r\n"
"""First bytes: not text, and changed by transfers that change line ends."""

VERSION = 2
"""Layout and meaning of the arrays. Raised whenever an older program would read a file wrongly."""

ALIGN = 64
"""Arrays begin at multiples of this many bytes: a line of the cache."""

PARTS: Mapping[str, type] = {
    "grids": ZoneGrids,
    "sheets": Sheets,
    "inside_sheets": Sheets,
    "sweep": SweepIndex,
    "inside_grid": ZoneGrids,
    "exact_grids": ZoneGrids,
    "exact": ZoneArrays,
}
"""Indexes a file may hold, beside the zones as drawn and their edges."""

USUAL = ("grids", "sheets", "inside_sheets", "sweep")
"""Those it holds unless others are asked for: all that calls without ``exact`` need."""

_PRELUDE = struct.Struct("<8sIIQQII20xI")
_ORDER = 0x0102_0304
_DTYPES = frozenset(("<c16", "<f8", "<f4", "<i8", "<u8", "<i4", "<u4", "<i2", "<u2", "|i1", "|u1", "|b1"))
_AGAIN = "save the zones again"

Array = npt.NDArray[Any]
Part = ZoneGrids | Sheets | SweepIndex | ZoneArrays
# JSON has no static type: `Any` is confined to this module, which checks each value before it hands it on.
Json = Any
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a file holds; ``place``: path and checksum by which it is found again, None for one in memory."""

    shapes: DrawnShapes
    mends: tuple[Mend, ...]
    band_m: float
    edges: EdgeTable
    parts: Mapping[str, Part]
    place: tuple[str, int] | None = None


def write(path: str | PathLike[str], saved: Saved) -> None:
    """Write a file; the old one of this name is replaced at once or not at all.

    Raises
    ------
    ZoneFileError
        The file cannot be written.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        try:
            with draft.open("xb") as file:
                _write(file, saved)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as exc:
        raise ZoneFileError(
            f"{target}: the zones cannot be saved ({exc.strerror}); next: check the folder and its free space"
        ) from exc


def pack(saved: Saved) -> bytes:
    """Return the bytes of a file."""
    header, arrays = _layout(saved)
    pieces = [header]
    at = len(header)
    for place, array in arrays:
        pieces += [bytes(place - at), array.tobytes()]
        at = place + array.nbytes
    body = b"".join(pieces[1:])
    return _prelude(header, len(header) + len(body), zlib.crc32(body)) + header[_PRELUDE.size :] + body


def _write(file: IO[bytes], saved: Saved) -> None:
    header, arrays = _layout(saved)
    file.write(header)
    at, check = len(header), 0
    for place, array in arrays:
        for piece in (bytes(place - at), array.reshape(-1).view(np.uint8).data):
            check = zlib.crc32(piece, check)
            file.write(piece)
        at = place + array.nbytes
    file.seek(0)
    file.write(_prelude(header, at, check))


def _layout(saved: Saved) -> tuple[bytes, list[tuple[int, Array]]]:
    """Return prelude (blank) and JSON, and the arrays with their places in the file."""
    found: dict[str, Array] = {}
    values: dict[str, float] = {}
    records = {"drawn": saved.shapes.arrays, "edges": saved.edges, **saved.parts}
    for name, record in records.items():
        _spread(name, record, found, values)
    # Places are counted from the end of the JSON, whose length depends on them.
    table: dict[str, list[Any]] = {}
    arrays: list[tuple[int, Array]] = []
    at = 0
    for name, array in found.items():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        table[name] = [little.dtype.str, list(array.shape), at]
        arrays.append((at, little))
        at += -(-little.nbytes // ALIGN) * ALIGN
    names = {str(z): name for z, name in enumerate(saved.shapes.names) if name is not None}
    text = json.dumps(
        {
            "band_m": saved.band_m,
            "ids": saved.shapes.ids,
            "names": names,
            "mends": [astuple(mend) for mend in saved.mends],
            "parts": list(saved.parts),
            "values": values,
            "arrays": table,
        },
        separators=(",", ":"),
    ).encode("ascii")
    text += b" " * (-(_PRELUDE.size + len(text)) % ALIGN)
    start = _PRELUDE.size + len(text)
    return bytes(_PRELUDE.size) + text, [(start + place, array) for place, array in arrays]


def _prelude(header: bytes, size: int, arrays_check: int) -> bytes:
    text = header[_PRELUDE.size :]
    first = _PRELUDE.pack(MAGIC, VERSION, _ORDER, len(text), size, zlib.crc32(text), arrays_check, 0)[:-4]
    return first + struct.pack("<I", zlib.crc32(first))


def _spread(name: str, record: Any, arrays: dict[str, Array], values: dict[str, float]) -> None:
    """Flatten a dataclass: arrays and numbers by name, records within it as ``name.field``, tuples by place."""
    for f in fields(record):
        key, value = f"{name}.{f.name}", getattr(record, f.name)
        if isinstance(value, np.ndarray):
            arrays[key] = value
        elif isinstance(value, tuple):
            values[key] = len(value)
            for i, item in enumerate(value):
                _spread(f"{key}.{i}", item, arrays, values)
        elif isinstance(value, int | float):
            values[key] = value
        else:
            _spread(key, value, arrays, values)


def read(path: str | PathLike[str], *, verify: bool = False) -> Saved:
    """Map a file.

    Parameters
    ----------
    path
        A file made by `write`.
    verify
        Also read all arrays and compare their checksum. Damage there goes unnoticed without.

    Raises
    ------
    ZoneFileError
        The file is absent, not such a file, of another version or byte order, cut short, or damaged.
    """
    where = str(path)
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = np.memmap(file, dtype=np.uint8, mode="r").view(np.ndarray) if size else np.zeros(0, dtype=np.uint8)
    except OSError as exc:
        raise ZoneFileError(
            f"{where}: cannot be read ({exc.strerror}); next: check the path of the saved zones"
        ) from exc
    return _parse(data, where, verify, str(Path(path).resolve()))


def reread(path: str, check: int) -> Saved:
    """Map the file that a pickled table was opened from.

    Raises
    ------
    ZoneFileError
        It is gone, or another one stands in its place.
    """
    saved = read(path)
    if saved.place != (path, check):
        raise ZoneFileError(
            f"{path}: another table was saved here since this one was pickled; next: open the new one, and save tables "
            "that are in use under names of their own"
        )
    return saved


def unpack(data: bytes) -> Saved:
    """Take a table from the bytes that `pack` made."""
    return _parse(np.frombuffer(data, dtype=np.uint8), "zones in memory", verify=False, path=None)


def is_there(place: tuple[str, int]) -> bool:
    """Whether the file of a table still stands where it was opened."""
    try:
        with Path(place[0]).open("rb") as file:
            first = file.read(_PRELUDE.size)
    except OSError:
        return False
    return len(first) == _PRELUDE.size and _PRELUDE.unpack(first)[-1] == place[1]


def _parse(data: npt.NDArray[np.uint8], where: str, verify: bool, path: str | None) -> Saved:
    first = data[: _PRELUDE.size].tobytes()
    header_bytes, arrays_check = _check_prelude(first, data.size, where)
    start = _PRELUDE.size + header_bytes
    text = data[_PRELUDE.size : start].tobytes()
    if zlib.crc32(text) != _PRELUDE.unpack(first)[5]:
        raise ZoneFileError(
            f"{where}: bytes {_PRELUDE.size} to {start}, the list of arrays, are damaged; next: {_AGAIN}"
        )
    if verify and zlib.crc32(data[start:].data) != arrays_check:
        raise ZoneFileError(f"{where}: bytes {start} to {data.size}, the arrays, are damaged; next: {_AGAIN}")
    try:
        header = json.loads(text)
        place = None if path is None else (path, _PRELUDE.unpack(first)[-1])
        return _saved(header, _Arrays(header["arrays"], data[start:]), place)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as exc:
        raise ZoneFileError(
            f"{where}: the list of arrays does not describe a table of version {VERSION} "
            f"({type(exc).__name__}: {exc}); next: {_AGAIN} with this program"
        ) from exc


def _check_prelude(first: bytes, size: int, where: str) -> tuple[int, int]:
    """Return the length of the JSON and the checksum of the arrays."""
    if not first.startswith(MAGIC[: len(first)]) or not first:
        raise ZoneFileError(
            f"{where}: expected a file of saved zones, which begins {MAGIC!r}, got {first[: len(MAGIC)]!r}; next: "
            "open what ZoneTable.save wrote; GeoJSON is read by ZoneTable.from_geojson"
        )
    if len(first) < _PRELUDE.size:
        raise ZoneFileError(f"{where}: cut short, expected {_PRELUDE.size} bytes or more, got {size}; next: {_AGAIN}")
    _, version, order, header_bytes, file_bytes, _, arrays_check, check = _PRELUDE.unpack(first)
    if zlib.crc32(first[:-4]) != check:
        raise ZoneFileError(f"{where}: its first {_PRELUDE.size} bytes are damaged; next: {_AGAIN}")
    if order != _ORDER or sys.byteorder != "little":
        raise ZoneFileError(
            f"{where}: expected little-endian numbers on a little-endian machine, got mark {order:#010x} on a "
            f"{sys.byteorder}-endian one; next: load the zones from GeoJSON here"
        )
    if version != VERSION:
        raise ZoneFileError(f"{where}: expected version {VERSION}, got {version}; next: {_AGAIN} with this program")
    if file_bytes != size or not 0 < header_bytes <= size - _PRELUDE.size:
        what = "cut short" if size < file_bytes else "something was added"
        raise ZoneFileError(f"{where}: {what}, expected {file_bytes} bytes, got {size}; next: {_AGAIN}")
    return header_bytes, arrays_check


class _Arrays:
    """The arrays of a file by name; every entry of its table is checked before it is used."""

    def __init__(self, table: Mapping[str, Json], data: npt.NDArray[np.uint8]) -> None:
        self._table = table
        self._data = data

    def take(self, name: str, kind: str) -> Array:
        dtype, shape, place = self._table[name]
        if dtype not in _DTYPES or np.dtype(dtype).kind != kind:
            raise ValueError(f"{name}: expected numbers of kind {kind!r}, got {dtype!r}")
        if not all(type(n) is int and n >= 0 for n in (*shape, place)) or len(shape) > 4 or place % ALIGN:
            raise ValueError(f"{name}: expected sizes and a place aligned to {ALIGN}, got {shape} at {place}")
        size = np.dtype(dtype).itemsize
        for n in shape:
            size *= n
        if place + size > self._data.size:
            raise ValueError(f"{name}: expected to end by byte {self._data.size}, got {shape} at {place}")
        array: Array = self._data[place : place + size].view(dtype).reshape(shape)
        return array


def _saved(header: Mapping[str, Json], arrays: _Arrays, place: tuple[str, int] | None) -> Saved:
    values, ids = header["values"], header["ids"]
    if not all(type(zone_id) is str for zone_id in ids):
        raise ValueError("ids: expected strings")
    band_m = float(header["band_m"])
    if not 0.0 <= band_m < np.inf:
        raise ValueError(f"band_m: expected metres, 0 or more, got {band_m}")
    names: list[str | None] = [None] * len(ids)
    for z, name in header["names"].items():
        names[int(z)] = str(name)
    drawn = _record(DrawnArrays, "drawn", arrays, values)
    edges = _record(EdgeTable, "edges", arrays, values)
    parts = {name: cast(Part, _record(PARTS[name], name, arrays, values)) for name in header["parts"]}
    _check_sizes(len(ids), drawn, edges, parts)
    return Saved(
        shapes=DrawnShapes(tuple(ids), tuple(names), drawn),
        mends=tuple(Mend(zone_id=str(zone), ring=ring, what=str(what)) for zone, ring, what in header["mends"]),
        band_m=band_m,
        edges=edges,
        parts=parts,
        place=place,
    )


def _record(cls: type[_T], name: str, arrays: _Arrays, values: Mapping[str, Json]) -> _T:
    """Rebuild what `_spread` took apart."""
    found: dict[str, Any] = {}
    for field, hint in _fields(cast(Hashable, cls)):
        key = f"{name}.{field}"
        if hint in (int, float):
            value = values[key]
            if isinstance(value, bool) or not isinstance(value, int if hint is int else int | float):
                raise ValueError(f"{key}: expected {hint.__name__}, got {value!r}")
            found[field] = hint(value)
        elif get_origin(hint) is tuple:
            item = get_args(hint)[0]
            found[field] = tuple(_record(item, f"{key}.{i}", arrays, values) for i in range(values[key]))
        elif get_origin(hint) is np.ndarray:
            found[field] = arrays.take(key, np.dtype(get_args(get_args(hint)[1])[0]).kind)
        else:
            found[field] = _record(hint, key, arrays, values)
    return cls(**found)


@cache
def _fields(cls: Hashable) -> Sequence[tuple[str, Any]]:
    hints = get_type_hints(cast(Any, cls))
    return [(f.name, hints[f.name]) for f in fields(cast(Any, cls))]


def _check_sizes(zones: int, drawn: DrawnArrays, edges: EdgeTable, parts: Mapping[str, Part]) -> None:
    """Check that the arrays of a table fit each other."""
    expected: list[tuple[str, int, int]] = [
        ("zone_ptr", drawn.zone_ptr.size, zones + 1),
        ("polygon_ptr", drawn.polygon_ptr.size, int(drawn.zone_ptr[-1]) + 1),
        ("ring_ptr", drawn.ring_ptr.size, int(drawn.polygon_ptr[-1]) + 1),
        ("lonlat_deg", drawn.lonlat_deg.size, 2 * int(drawn.ring_ptr[-1])),
        ("kind", drawn.kind.size, zones),
        ("edges", edges.n_zones, zones),
        ("unit", edges.unit.size, edges.at.size),
    ]
    grids = parts.get("grids")
    if isinstance(grids, ZoneGrids):
        expected.append(("grids", grids.size.size, zones))
    for name, got, want in expected:
        if got != want:
            raise ValueError(f"{name}: expected {want} values, got {got}")
