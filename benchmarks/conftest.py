"""The table of budgets at the end of a run, and quiet logs: a benchmark of the logger measures the wrong thing."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from benchmarks import gate
from benchmarks.interleave import FixCall, Samples, interleave, interleave_fixes

SECONDS = 0.3
"""About how long the rounds of one mode take."""


def pytest_configure(config: pytest.Config) -> None:
    """One table is enough: ours. pytest-benchmark keeps its figures for ``--benchmark-json``."""
    config.option.benchmark_quiet = True
    # A test that fails before it measures has told its reason already.
    config.addinivalue_line("filterwarnings", "ignore:Benchmark fixture was not used")


@pytest.fixture(scope="session")
def budget() -> Callable[[str], gate.Budget]:
    """Look a budget up by name."""
    return gate.budget


@pytest.fixture
def contest(benchmark: Any) -> Callable[..., dict[str, float]]:
    """Ours against its peers in one mode; see `benchmarks.gate.judge`.

    ``items``: how many fixes, pairs or zones a call handles, of each contender or of all.
    """

    def run(
        mode: str,
        ours: Callable[[], Any],
        peers: Mapping[str, Callable[[], Any]],
        gates: Sequence[gate.Gate],
        *,
        items: int | Mapping[str, int],
        seconds: float = SECONDS,
    ) -> dict[str, float]:
        benchmark.pedantic(ours, rounds=1)
        contenders = {"ours": ours, **peers}
        groups = [g.against for g in gates]
        counts = dict.fromkeys(contenders, items) if isinstance(items, int) else items

        def measure(times: int) -> Samples:
            return interleave(contenders, counts, groups, seconds=seconds, times=times)

        figures = gate.judge(mode, measure, gates)
        benchmark.extra_info.update(figures)
        return figures

    return run


@pytest.fixture
def contest_of_fixes(benchmark: Any) -> Callable[..., dict[str, float]]:
    """The same for single fixes, with percentiles; see `benchmarks.interleave.interleave_fixes`."""

    def run(
        mode: str,
        contenders: Mapping[str, FixCall],
        gates: Sequence[gate.Gate],
        blocks: Sequence[Sequence[tuple[float, float]]],
        before: Callable[[Sequence[tuple[float, float]]], Any] | None = None,
    ) -> dict[str, float]:
        benchmark.pedantic(contenders["ours"], args=blocks[0][0], rounds=1)

        def measure(times: int) -> Samples:
            return interleave_fixes(contenders, [*blocks] * times, before=before)

        figures = gate.judge(mode, measure, gates, percentiles=True)
        benchmark.extra_info.update(figures)
        return figures

    return run


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """All budgets of the run: mode, ours, peer, ratio, budget, goal, verdict."""
    if not gate.ROWS:
        return
    terminalreporter.section("budgets: smaller is better")
    for line in gate.table():
        terminalreporter.write_line(line)
