"""Every budget has one benchmark, and every benchmark file holds to a budget."""

import re
import tomllib
from collections import Counter
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def names_used() -> Counter[str]:
    found: Counter[str] = Counter()
    for path in BENCHMARKS.glob("test_*.py"):
        found.update(re.findall(r"""budget\(\s*["']([a-z0-9_]+)["']""", path.read_text()))
    return found


def test_every_budget_is_read_by_exactly_one_benchmark() -> None:
    budgets = set(tomllib.loads((BENCHMARKS / "budgets.toml").read_text()))
    used = names_used()
    assert set(used) == budgets
    assert all(count == 1 for count in used.values()), used


def test_every_budget_says_what_breaks() -> None:
    for name, table in tomllib.loads((BENCHMARKS / "budgets.toml").read_text()).items():
        assert set(table) - {"must"} == {"limit", "goal", "unit", "why"}, name
        assert table["goal"] <= table.get("must", table["limit"]) <= table["limit"], name


def test_no_benchmark_runs_without_a_budget() -> None:
    for path in BENCHMARKS.glob("test_*.py"):
        assert "budget(" in path.read_text(), path.name
