"""Taking turns: every contender runs once per round, so all of them meet the same neighbours, clocks and caches.

The machine's speed drifts by up to two times within a run; the ratio within a round does not. A figure is the median of
the rounds' ratios, with its quartiles.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.workloads import F64

MIN_ROUNDS, MAX_ROUNDS = 5, 25
"""A median of fewer than five follows one hiccup; more than 25 no longer narrow it."""

MIN_LONG_ROUNDS = 3
"""The same where a round takes more than a second, in which hiccups level out."""

HOPELESS = 2.0
"""A peer this many times slower than the fastest of its kind will not become the fastest by luck."""

SLOW_S = 0.2
"""A call this long is warm after its first moments, and is not made twice before the rounds; second."""

SHOWN_ROUNDS = 1
"""Rounds of peers that are shown, not counted."""

FixCall = Callable[[float, float], Any]
"""What is done with one latitude and longitude."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Seconds per item: one figure per contender and round (``rounds``), and all that was measured (``raw``)."""

    rounds: Mapping[str, F64]
    raw: Mapping[str, F64]

    def median(self, name: str) -> float:
        """Of the rounds."""
        return float(np.median(self.rounds[name]))

    def quantile(self, name: str, q: float) -> float:
        """Of the raw samples."""
        return float(np.quantile(self.raw[name], q, method="higher"))

    def ratio(self, name: str, other: str) -> tuple[float, float, float]:
        """Median and quartiles of the rounds' ratios."""
        n = min(self.rounds[name].size, self.rounds[other].size)
        ratios = self.rounds[name][:n] / self.rounds[other][:n]
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        return float(middle), float(low), float(high)


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _turns(names: Sequence[str], round_: int) -> list[str]:
    """Who goes when: each after each other one in turn."""
    k = round_ % len(names)
    turned = [*names[k:], *names[:k]]
    return turned[::-1] if round_ // len(names) % 2 else turned


def interleave(
    contenders: Mapping[str, Callable[[], Any]],
    items: Mapping[str, int],
    groups: Sequence[Sequence[str]],
    *,
    seconds: float,
    times: int = 1,
) -> Samples:
    """Run whole calls in turns.

    Parameters
    ----------
    contenders
        What each does in a round.
    items
        How many fixes, pairs or zones that is; the samples are per item.
    groups
        Peers of one kind, of which only the fastest counts: the others run `SHOWN_ROUNDS`.
    seconds
        About how long this may take; rounds follow from it, between `MIN_ROUNDS` and `MAX_ROUNDS`.
    times
        That many times the rounds.
    """
    names = list(contenders)
    once: dict[str, float] = {}
    for name, call in contenders.items():
        for _ in range(2):
            t0 = time.perf_counter()
            call()
            once[name] = time.perf_counter() - t0
            if once[name] > SLOW_S:
                break
    per_item = {name: once[name] / items[name] for name in names}
    full = {"ours"}.union(
        *([n for n in group if per_item[n] <= HOPELESS * min(per_item[m] for m in group)] for group in groups)
    )
    # A clock reading costs 0.1 us and a switch of contender evicts caches: short calls run a millisecond.
    repeat = {name: max(1, round(1e-3 / once[name])) for name in names}
    round_s = sum(once[name] * repeat[name] for name in full)
    least = MIN_ROUNDS if round_s < 1.0 else MIN_LONG_ROUNDS
    rounds = times * int(np.clip(seconds / round_s, least, MAX_ROUNDS))
    taken: dict[str, list[float]] = {name: [] for name in names}
    with _no_collection():
        for round_ in range(rounds):
            for name in _turns(names, round_):
                if name not in full and round_ >= SHOWN_ROUNDS:
                    continue
                call, n = contenders[name], repeat[name]
                t0 = time.perf_counter()
                for _ in range(n):
                    call()
                taken[name].append((time.perf_counter() - t0) / n / items[name])
    columns = {name: np.array(values) for name, values in taken.items()}
    return Samples(columns, columns)


def interleave_fixes(
    contenders: Mapping[str, FixCall],
    blocks: Sequence[Sequence[tuple[float, float]]],
    *,
    before: Callable[[Sequence[tuple[float, float]]], Any] | None = None,
) -> Samples:
    """Run single fixes, timed one by one; contenders take turns block by block.

    Parameters
    ----------
    contenders
        What each does with a latitude and a longitude.
    blocks
        The fixes of each round.
    before
        Done with each block before anybody is timed on it.
    """
    names = list(contenders)
    clock = time.perf_counter_ns
    taken: dict[str, list[list[int]]] = {name: [] for name in names}
    with _no_collection():
        for round_, block in enumerate(blocks):
            if before is not None:
                before(block)
            for name in _turns(names, round_):
                call = contenders[name]
                row = []
                for lat, lon in block:
                    t0 = clock()
                    call(lat, lon)
                    row.append(clock() - t0)
                taken[name].append(row)
    return Samples(
        {name: np.array([np.median(row) for row in rows]) * 1e-9 for name, rows in taken.items()},
        {name: np.concatenate(rows) * 1e-9 for name, rows in taken.items()},
    )
