"""Raw samples of several lanes in nanoseconds, and the table that shows them."""

from collections.abc import Mapping, Sequence

UNITS = {"us": 1e3, "ms": 1e6}
"""Nanoseconds of each unit."""


def quantile(samples: Sequence[int], q: float, unit: str) -> float:
    """Nearest-rank quantile of raw samples."""
    return sorted(samples)[min(len(samples) - 1, int(q * len(samples)))] / UNITS[unit]


def table(lanes: Mapping[str, Sequence[int]], unit: str, *, digits: int) -> str:
    """One row a lane: p50, p95, p99, max."""
    width = max(map(len, lanes)) + 2
    rows = [f"{'lane':<{width}}{'p50 ' + unit:>9}{'p95':>9}{'p99':>9}{'max':>9}{'n':>7}"]
    rows += [
        f"{name:<{width}}"
        + "".join(f"{quantile(samples, q, unit):>9.{digits}f}" for q in (0.5, 0.95, 0.99, 1.0))
        + f"{len(samples):>7}"
        for name, samples in lanes.items()
    ]
    return "\n".join(rows)
