"""Budgets, and the one table that a run prints: mode, ours, peer, ratio, budget, goal."""

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks.interleave import Samples

FULL = os.environ.get("TAGRIG_BENCH") == "full"
"""``TAGRIG_BENCH=full``: sizes that take minutes to set up, too."""
CI = os.environ.get("TAGRIG_BENCH") == "ci"
"""``TAGRIG_BENCH=ci``: what `make test` measures; the delivery table without its long rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One limit of budgets.toml."""

    name: str
    limit: float
    must: float
    goal: float
    unit: str
    why: str

    def verdict(self, value: float) -> str:
        """OVER, ok (short of the promise, but no failure), must or goal."""
        if value > self.limit:
            return "OVER"
        return "goal" if value <= self.goal else "must" if value <= self.must else "ok"

    def check(self, value: float, *, mode: str = "", ours: str = "", peer: str = "", against: str = "") -> None:
        """Note the figure for the table; fail with mode, figure, limit and reason when it is over."""
        ROWS.append(Row(budget=self, value=value, mode=mode or self.name, ours=ours, peer=peer, against=against))
        if value > self.limit:
            pytest.fail(self.message(value, mode), pytrace=False)

    def message(self, value: float, mode: str) -> str:
        """What a failure says."""
        where = f"{mode}: " if mode else ""
        return f"{where}{self.name} is {value:.3g} {self.unit}, over the limit of {self.limit:g}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    budget: Budget
    value: float
    mode: str
    ours: str
    peer: str
    against: str
    notes: list[str] = field(default_factory=list)


ROWS: list[Row] = []
"""What this run measured, in order."""


@cache
def _tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads((Path(__file__).parent / "budgets.toml").read_text())


def budget(name: str) -> Budget:
    """Look a budget up by name."""
    found = _tables()[name]
    return Budget(name=name, **{"must": found["limit"], **found})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One budget of a mode: ours against the fastest of these peers, by median or by a percentile of raw samples."""

    budget: Budget
    against: Sequence[str]
    quantile: float | None = None

    def value(self, samples: Samples) -> tuple[float, str]:
        """Ratio ours / peer, and which peer."""
        if self.quantile is None:
            best = min(self.against, key=samples.median)
            return samples.ratio("ours", best)[0], best
        q = self.quantile
        best = min(self.against, key=lambda name: samples.quantile(name, q))
        return samples.quantile("ours", q) / samples.quantile(best, q), best


def judge(
    mode: str, measure: Callable[[int], Samples], gates: Sequence[Gate], *, percentiles: bool = False
) -> dict[str, float]:
    """Measure a mode, note its rows, and fail with all budgets it is over.

    A ratio over its limit is measured once more with twice the rounds, and the second figure counts; the table shows
    both. A neighbour that starts in the midst of a mode moves one measurement, hardly two.

    Parameters
    ----------
    mode
        Name in the table.
    measure
        Runs the contenders, one of them named "ours", with so many times the usual rounds.
    gates
        What is held to what.
    percentiles
        Show p50, p95, p99 and max of the raw samples.

    Returns
    -------
    Seconds per item of each contender, and the ratio of each budget.
    """
    samples = measure(1)
    first = {gate.budget.name: gate.value(samples)[0] for gate in gates}
    again = [gate for gate in gates if first[gate.budget.name] > gate.budget.limit]
    if again:
        samples = measure(2)
    over = []
    figures = {name: samples.median(name) for name in samples.rounds}
    for gate in gates:
        value, best = gate.value(samples)
        if gate.quantile is None:
            times = [samples.median(name) for name in ("ours", best)]
            name = mode
            _, low, high = samples.ratio("ours", best)
            notes = [f"quartiles {low:.3g} - {high:.3g} of {samples.rounds['ours'].size} rounds"]
        else:
            times = [samples.quantile(name, gate.quantile) for name in ("ours", best)]
            name = f"{mode}, p{gate.quantile * 100:g}"
            notes = []
        if gate in again:
            notes.append(f"measured twice, at first {first[gate.budget.name]:.3g}")
        if percentiles and gate is gates[0]:
            notes += [
                f"{who}: " + ", ".join(f"{label} {shown(samples.quantile(who, q))}" for label, q in PERCENTILES.items())
                for who in samples.raw
            ]
        elif gate is gates[0]:
            notes.append(", ".join(f"{who} {shown(figure)}" for who, figure in figures.items()))
        row = Row(
            budget=gate.budget,
            value=value,
            mode=name,
            ours=shown(times[0]),
            peer=shown(times[1]),
            against=best,
            notes=notes,
        )
        ROWS.append(row)
        figures[gate.budget.name] = value
        if value > gate.budget.limit:
            over.append(gate.budget.message(value, name))
    if over:
        pytest.fail("\n".join(over), pytrace=False)
    return figures


PERCENTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def shown(seconds: float) -> str:
    """A time for people."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table() -> list[str]:
    """All rows of this run, their notes below them."""
    head = f"{'mode':<58}{'ours':>10}{'peer':>10}  {'fastest peer':<24}"
    head += "".join(f"{name:>9}" for name in ("figure", "budget", "must", "goal")) + "  verdict"
    lines = [head]
    for row in ROWS:
        lines.append(
            f"{row.mode:<58}{row.ours:>10}{row.peer:>10}  {row.against:<24}{row.value:>9.3g}{row.budget.limit:>9.3g}"
            f"{row.budget.must:>9.3g}{row.budget.goal:>9.3g}  {row.budget.verdict(row.value)}"
            + ("" if row.budget.unit == RATIO else f" ({row.budget.unit})")
        )
        lines += [f"    {note}" for note in row.notes]
    return lines


RATIO = "ours / peer"
"""Unit of most budgets: time of ours over time of the fastest peer."""
