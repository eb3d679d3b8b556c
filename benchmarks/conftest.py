"""Budgets, their table at the end of a run, and quiet logs: a benchmark of the logger measures the wrong thing."""

import logging
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_CHECKED: list[tuple["Budget", float]] = []
"""What this run measured against which budget, in order; printed as one table at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One limit of budgets.toml."""

    name: str
    limit: float
    goal: float
    unit: str
    why: str

    def check(self, value: float) -> None:
        """Note the figure for the table; fail with figure, limit and reason when it is over."""
        _CHECKED.append((self, value))
        assert value <= self.limit, f"{self.name}: {value:.3g} {self.unit} > {self.limit:g}: {self.why}"


@pytest.fixture(scope="session")
def budget() -> Callable[[str], Budget]:
    """Look a budget up by name."""
    tables = tomllib.loads((Path(__file__).parent / "budgets.toml").read_text())
    return lambda name: Budget(name=name, **tables[name])


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One row per budget: measured, limit, goal, verdict."""
    if not _CHECKED:
        return
    terminalreporter.section("budgets")
    terminalreporter.write_line(f"{'budget':<40} {'measured':>10} {'limit':>8} {'goal':>8}  unit")
    for budget, value in _CHECKED:
        verdict = "OVER" if value > budget.limit else "goal" if value <= budget.goal else "ok"
        terminalreporter.write_line(
            f"{budget.name:<40} {value:>10.3g} {budget.limit:>8g} {budget.goal:>8g}  {budget.unit}  {verdict}"
        )
