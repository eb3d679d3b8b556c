"""How long each alert took, hop by hop, all on one machine's monotonic clock."""

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocols.mqtt.messages import AlertKind, Trace
from rig.truth.records import TruthEpoch, TruthHeader, decode_record

HOPS: Final = ("emit→rx", "rx→decoded", "decoded→judged", "judged→submitted", "submitted→subscriber")
"""Stations: the tag writes, the bridge's transport has the bytes, a report, a verdict, a message, the subscriber."""

TOTAL: Final = "whole way"
"""From the tag's write to the subscriber."""

_BY_TIMER: Final = frozenset({AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST})
"""Raised by a deadline, not by something the tag sent: there is no emission to count from."""

MAX_EMIT_AGE_NS: Final = 2_000_000_000
"""An epoch written longer before its reception than this is not the one that caused it, nanoseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HopTimes:
    """Milliseconds by hop, in the order of ``HOPS``; NaN where a hop does not apply. ``total_ms`` likewise."""

    hops_ms: tuple[float, ...]
    total_ms: float


class TruthTail:
    """The truth log of one device, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.header: TruthHeader | None = None
        self.epochs: list[TruthEpoch] = []
        self._writes_ns: list[int] = []

    def read_on(self) -> None:
        """Take in what was added; a torn last line waits."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            record = decode_record(line)
            if isinstance(record, TruthHeader):
                self.header = record
            elif isinstance(record, TruthEpoch):
                self.epochs.append(record)
                self._writes_ns.append(record.t_write_mono_ns)

    def find_write_ns(self, rx_mono_ns: int) -> int | None:
        """When the epoch was written that was received at a moment: the last one before it."""
        i = bisect.bisect_right(self._writes_ns, rx_mono_ns)
        if i == 0 or rx_mono_ns - self._writes_ns[i - 1] > MAX_EMIT_AGE_NS:
            return None
        return self._writes_ns[i - 1]


def hop_times(trace: Trace, t_sub_mono_ns: int, tail: TruthTail, *, kind: AlertKind, cleared: bool) -> HopTimes:
    """Count the times of one alert by hop."""
    by_timer = kind in _BY_TIMER and not cleared
    emitted = None if by_timer else tail.find_write_ns(trace.rx_mono_ns)
    stations = (
        emitted,
        None if by_timer else trace.rx_mono_ns,
        None if by_timer else trace.decoded_mono_ns,
        trace.judged_mono_ns,
        trace.submitted_mono_ns,
        t_sub_mono_ns,
    )
    hops = tuple(math.nan if a is None or b is None else (b - a) / 1e6 for a, b in itertools.pairwise(stations))
    return HopTimes(hops_ms=hops, total_ms=math.nan if emitted is None else (t_sub_mono_ns - emitted) / 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Of one hop over all alerts. With ``count`` below 100 the p99 is the largest value."""

    name: str
    count: int
    p50_ms: float
    p99_ms: float


def percentiles(times: Sequence[HopTimes]) -> list[Percentiles]:
    """By hop, then for the whole way."""
    rows = [(name, [t.hops_ms[i] for t in times]) for i, name in enumerate(HOPS)]
    rows.append((TOTAL, [t.total_ms for t in times]))
    out = []
    for name, values in rows:
        known = sorted(v for v in values if not math.isnan(v))
        out.append(
            Percentiles(
                name=name, count=len(known), p50_ms=_nearest_rank(known, 0.5), p99_ms=_nearest_rank(known, 0.99)
            )
        )
    return out


def _nearest_rank(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed; NaN of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
