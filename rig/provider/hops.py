"""Latency of an alert by hop, from the stamps it carries; valid only on the machine that made them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from protocols.mqtt.messages import Trace

HOPS = ("read to decoded", "decoded to judged", "judged to submitted", "submitted to here", "whole way")


@dataclass(frozen=True, slots=True, kw_only=True)
class HopTimes:
    """Milliseconds per hop, in the order of ``HOPS``."""

    values_ms: tuple[float, ...]


def find_hops(trace: Trace, received_mono_ns: int, boot_id: str) -> HopTimes | None:
    """Differences of the stamps; None on another machine, or after it was booted anew."""
    if not boot_id or trace.boot_id != boot_id:
        return None
    stamps = (
        trace.rx_mono_ns,
        trace.decoded_mono_ns,
        trace.judged_mono_ns,
        trace.submitted_mono_ns,
        received_mono_ns,
    )
    steps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    return HopTimes(values_ms=tuple(step / 1e6 for step in (*steps, received_mono_ns - trace.rx_mono_ns)))


class HopStats:
    """Raw samples of every hop."""

    def __init__(self) -> None:
        self._samples: tuple[list[float], ...] = tuple([] for _ in HOPS)

    def add(self, hops: HopTimes) -> None:
        """Take one alert."""
        for samples, value in zip(self._samples, hops.values_ms, strict=True):
            samples.append(value)

    def rows(self) -> Iterator[tuple[str, int, float, float, float]]:
        """Name, count, p50, p99 and maximum in ms of each hop that has samples."""
        for name, samples in zip(HOPS, self._samples, strict=True):
            if samples:
                ordered = sorted(samples)
                yield name, len(ordered), _percentile(ordered, 50), _percentile(ordered, 99), ordered[-1]


def _percentile(ordered: list[float], percent: float) -> float:
    """Nearest rank: a value that was measured, not one between two."""
    return ordered[max(0, -(-len(ordered) * int(percent) // 100) - 1)]
