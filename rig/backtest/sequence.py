"""Fixes in order of time within each device, from inputs that are nearly so, in bounded memory.

Records are looked at in blocks of W, cut by their number::

    block 0      block 1      block 2      block 3
    -----------------------------------------------
                                 t?         a fix here is late where its device has a newer one in block 1 or before:
                                            it stands at least W records behind that one
    judged ----------------->|              up to the newest of block 1 nothing can come any more that is not late

So a fix up to W records behind a newer one of its device is put in its place, one more than 2 W behind is refused, and
which ones are depends on record numbers alone. At most 2 W records are held.
"""

from collections.abc import Callable, Iterator

import numpy as np

from geofence_core.arrays import I64, group_starts
from rig.backtest.fixes import Batch, Fixes, Tally

REORDER_FIXES = 1 << 17
"""Default of W, records. A tag that was out of reach sends its memory of hours beside live fixes; with a thousand tags
in one export that is some 100,000 records. Smaller: more late fixes are refused; larger: 80 bytes of memory each."""

NEVER = np.iinfo(np.int64).min


class Sequencer:
    """Puts the fixes of each device in order of time, and counts those that come too late.

    Parameters
    ----------
    block_records : int
        W.
    tally : Tally
    place : callable
        Says where the record of a number stands.
    """

    def __init__(self, block_records: int, tally: Tally, place: Callable[[int], str]) -> None:
        self._block_records = block_records
        self._tally = tally
        self._place = place
        self._held: list[Fixes] = []
        self._newest = np.zeros(0, dtype=np.int64)
        """Per device: newest time in all blocks but the last full one."""
        self._settled = np.zeros(0, dtype=np.int64)
        """Per device: newest time in all blocks; becomes ``_newest`` one block later."""

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Fixes, int]]:
        """Yield fixes in order and the number below which none will come any more.

        Fixes of one yield are sorted by device, then time (by number where times are equal); those of one device are
        never older than any yielded before.
        """
        block: list[Fixes] = []
        number = 1
        for batch in batches:
            fixes = batch.fixes
            end = number + batch.n_records
            while (edge := self._edge(number)) <= end:
                cut = int(np.searchsorted(fixes.number, edge))
                block.append(fixes.take(slice(0, cut)))
                fixes = fixes.take(slice(cut, None))
                number = edge
                yield self._take(Fixes.join(block)), self._lowest(number)
                block = []
            number = end
            if len(fixes):
                block.append(fixes)
        if block:
            yield self._take(Fixes.join(block)), self._lowest(number)
        if self._held:
            yield _in_order(Fixes.join(self._held)), number
            self._held = []

    def _edge(self, number: int) -> int:
        """First number of the next block, seen from the next number to come."""
        return ((number - 1) // self._block_records + 1) * self._block_records + 1

    def _lowest(self, number: int) -> int:
        return min([int(part.number.min()) for part in self._held if len(part)], default=number)

    def _take(self, block: Fixes) -> Fixes:
        self._grow(int(block.device.max(initial=-1)) + 1)
        late = block.t_ns < self._newest[block.device]
        if late.any():
            first = int(block.number[late].min())
            self._tally.reject("late", int(late.sum()), lambda: self._place(first))
            block = block.take(~late)
        # what the blocks before this one hold settles now; this one settles with the next
        self._newest = self._settled.copy()
        np.maximum.at(self._settled, block.device, block.t_ns)
        fixes = _in_order(Fixes.join([*self._held, block]))
        ripe = fixes.t_ns <= self._newest[fixes.device]
        rest = fixes.take(~ripe)
        self._held = [rest] if len(rest) else []
        return fixes.take(ripe)

    def _grow(self, n_devices: int) -> None:
        more = n_devices - self._newest.size
        if more > 0:
            unknown = np.full(more, NEVER, dtype=np.int64)
            self._newest = np.concatenate([self._newest, unknown])
            self._settled = np.concatenate([self._settled, unknown])


def _in_order(fixes: Fixes) -> Fixes:
    """Sort by device, time, number."""
    order = by_device(fixes)
    device, t, number = fixes.device[order], fixes.t_ns[order], fixes.number[order]
    same = device[1:] == device[:-1]
    before = (t[1:] < t[:-1]) | ((t[1:] == t[:-1]) & (number[1:] < number[:-1]))
    if (same & before).any():
        order = np.lexsort((fixes.number, fixes.t_ns, fixes.device))
    return fixes.take(order)


def by_device(fixes: Fixes) -> I64:
    """Return the order that brings devices together and changes nothing within one."""
    device = fixes.device
    if not device.size or (device[1:] >= device[:-1]).all():
        return np.arange(device.size, dtype=np.int64)
    # two bytes are sorted by counting, ten times as fast as four
    narrow = device.astype(np.uint16) if int(device.max()) < 1 << 16 else device
    return np.argsort(narrow, kind="stable")


def last_rows(fixes: Fixes) -> I64:
    """Return the last row of each device of fixes that are sorted by device."""
    return np.concatenate([group_starts(fixes.device)[1:], [len(fixes)]]).astype(np.int64) - 1
