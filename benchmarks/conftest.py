"""Budgets and quiet logs for the benchmarks: a benchmark of the logger measures the wrong thing."""

import logging
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One limit of budgets.toml."""

    name: str
    limit: float
    goal: float
    unit: str
    why: str

    def check(self, value: float) -> None:
        """Print the figure beside its limit; fail with both when it is passed."""
        print(f"\n{self.name}: {value:.3g} {self.unit} (limit {self.limit:g}, goal {self.goal:g})")
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
