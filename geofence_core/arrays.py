"""Array types, and the one idiom of this package: ragged lists as flat arrays with offsets (CSR)."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from geofence_core.errors import ColumnError

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
C128 = npt.NDArray[np.complex128]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int8]
Bool = npt.NDArray[np.bool_]
_T = TypeVar("_T", bound=np.generic)


def expand(start: I64 | I32, count: I64) -> tuple[I64, I64]:
    """Flatten the ranges ``start[i] : start[i] + count[i]``.

    Parameters
    ----------
    start, count
        Integers (P,).

    Returns
    -------
    owner, index
        int64 (sum of count,): which range an element came from, and its value.
    """
    owner = np.arange(count.size, dtype=np.int64).repeat(count)
    first = count.cumsum() - count
    shift = start - first
    index = np.arange(owner.size)
    # Ranges one after the other, as all wearers in their order are, need no look at each.
    index += shift[0] if shift.size and (shift == shift[0]).all() else shift.take(owner)
    return owner, index


def ranges(start: I64 | I32, count: I64 | I32) -> I64:
    """Flatten the ranges ``start[i] : start[i] + count[i]``, as `expand`, where nobody asks which one it came from."""
    before = start - count.cumsum()
    before += count
    index: I64 = before.repeat(count)
    index += np.arange(index.size)
    return index


def narrow(values: npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
    """Put numbers from 0 up into the least of uint8, uint16 and uint32 that holds them all: short keys sort fast."""
    most = int(values.max(initial=0))
    return values.astype(np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.uint32)


def indices(mask: npt.NDArray[Any]) -> I64:
    """Return where a mask is True or a number is not 0; numbers directly would cost NumPy four times as much."""
    return mask.astype(bool, copy=False).nonzero()[0]


def freeze(*records: Any) -> None:
    """Make the arrays of dataclasses read-only, those of records within them too."""
    for record in records:
        for name in (f.name for f in fields(record)):
            value = getattr(record, name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            elif is_dataclass(value):
                freeze(value)


def group_starts(ids: npt.NDArray[np.integer[Any]]) -> I64:
    """Return the first index of every group of equal neighbours."""
    if not ids.size:
        return np.zeros(0, dtype=np.int64)
    start = np.empty(ids.size, dtype=bool)
    start[0] = True
    np.not_equal(ids[1:], ids[:-1], out=start[1:])
    return indices(start)


def chunks(weight: I64, limit: int) -> Iterator[slice]:
    """Cut ``range(len(weight))`` into slices whose weights add up to about ``limit``; a heavier item stands alone."""
    n = weight.size
    if n == 0:
        return
    done = weight.cumsum()
    if done[-1] <= limit:
        yield slice(0, n)
        return
    a = 0
    while a < n:
        before = int(done[a - 1]) if a else 0
        b = max(a + 1, int(np.searchsorted(done, before + limit, side="right")))
        yield slice(a, b)
        a = b


def even(n: int, limit: int) -> Iterator[slice]:
    """Cut ``range(n)`` into equal slices of up to ``limit``."""
    parts = -(-n // limit)
    for k in range(parts):
        yield slice(n * k // parts, n * (k + 1) // parts)


def float_column(values: npt.ArrayLike, name: str, size: int | None = None) -> F64:
    """Return ``values`` as a float64 (N,) array; a scalar becomes (1,)."""
    column = np.asarray(values, dtype=np.float64)
    return _checked(column if column.ndim else column.reshape(1), name, size)


def int_column(values: npt.ArrayLike, name: str, size: int | None = None) -> I64:
    """Return ``values`` as an int64 (N,) array; floats are refused, because a rounded index is a wrong index."""
    raw = np.atleast_1d(np.asarray(values))
    if raw.size and raw.dtype.kind not in "iu":
        raise ColumnError(f"{name}: expected integers, got {raw.dtype}; next: cast where the column is made")
    return _checked(raw.astype(np.int64), name, size)


def _checked(column: npt.NDArray[_T], name: str, size: int | None) -> npt.NDArray[_T]:
    if column.ndim != 1:
        raise ColumnError(f"{name}: expected one dimension, got shape {column.shape}")
    if size is not None and column.size != size:
        raise ColumnError(f"{name}: expected {size} values like its sibling columns, got {column.size}")
    return column
