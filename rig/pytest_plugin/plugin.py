"""Options, fixtures and hooks. Everything of tagrig's is imported where a test needs it."""

import contextlib
import shutil
import sys
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rig.bench.opening import OpenBench
    from rig.bench.schema import BenchFile
    from rig.pytest_plugin.provider_view import ProviderView
    from rig.pytest_plugin.stage import Stage

_MARKER = "needs_feature(*names): what of the bench a test needs (gnss, strap, ble, ...); skipped where it is absent"


@dataclass(slots=True)
class _Session:
    """What the session knows of its bench."""

    bench: "OpenBench | None" = None
    broken: str | None = None
    """First cause, with the test that met it."""


@dataclass(slots=True)
class _Runs:
    """What one test has played."""

    folders: list[Path] = field(default_factory=list)
    failed: bool = False


_SESSION = pytest.StashKey[_Session]()
_RUNS = pytest.StashKey[_Runs]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a bench."""
    group = parser.getgroup("tagrig", "tagrig: a bench for ankle tags and smart tags")
    group.addoption("--bench", metavar="FILE", default=None, help="Bench file. [default: everything emulated]")
    group.addoption(
        "--pace",
        metavar="PACE",
        default=None,
        help="virtual, real, or xN (x10). [default: virtual; real where the bench has hardware]",
    )
    group.addoption(
        "--runs", metavar="FOLDER", default=None, help="Where runs of failed tests are left. [default: runs]"
    )
    group.addoption("--keep-runs", action="store_true", help="Keep the runs of tests that passed, too.")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; check the bench file before any test is collected."""
    config.addinivalue_line("markers", _MARKER)
    config.stash[_SESSION] = _Session()
    if config.getoption("--bench") is not None:
        from rig.bench.errors import BenchFileError

        try:
            _bench_file(config)
        except BenchFileError as exc:
            raise pytest.UsageError(str(exc)) from exc
    pace = config.getoption("--pace")
    if pace is not None:
        from rig.errors import RigError
        from rig.runs.folder import speed_of

        try:
            speed_of(pace)
        except RigError as exc:
            raise pytest.UsageError(f"--pace: {exc}") from exc


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go of the bench."""
    session = config.stash.get(_SESSION, None)
    if session is not None and session.bench is not None:
        session.bench.close()
        session.bench = None


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which bench is used where one is named."""
    if config.getoption("--bench") is None:
        return None
    file = _bench_file(config)
    return f"bench: {file.bench.name} ({file.kind}), from {config.getoption('--bench')}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose features the bench has not; refuse one that asks for a feature nobody knows."""
    wanted = [name for marker in item.iter_markers("needs_feature") for name in marker.args]
    if not wanted:
        return
    from rig.bench.roles import check_features
    from rig.bench.schema import KNOWN_FEATURES

    unknown = sorted(set(wanted) - KNOWN_FEATURES)
    if unknown:
        pytest.fail(
            f"needs_feature: {', '.join(map(repr, unknown))} is no feature. Known: {', '.join(sorted(KNOWN_FEATURES))}",
            pytrace=False,
        )
    file = _bench_file(item.config)
    missing = check_features(file, wanted)
    if missing:
        pytest.skip(f"bench {file.bench.name!r} has no {', '.join(missing)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell a broken bench from a failed test, and leave a failed test's run where it can be replayed."""
    report = yield
    error = None if call.excinfo is None else call.excinfo.value
    if error is not None and _is_bench_broken(error):
        session = item.config.stash[_SESSION]
        if session.broken is None:
            session.broken = f"{item.nodeid}: {error}"
        if report.when == "call":
            # an ERROR, to people and in JUnit: nothing is known of the product
            report.when = "setup"
    runs = item.stash.get(_RUNS, None)
    if runs is None:
        return report
    if report.failed and not runs.failed:
        runs.failed = True
        report.sections.append(("tagrig", "\n".join(_bundle(folder) for folder in runs.folders)))
        for folder in runs.folders:
            item.user_properties += [("run", str(folder)), ("replay", f"tagrig replay {folder}")]
    if report.when == "teardown" and not runs.failed and not item.config.getoption("--keep-runs"):
        for folder in runs.folders:
            shutil.rmtree(folder, ignore_errors=True)
    return report


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> "OpenBench":
    """Give the bench of the session, opened when the first test asks for it."""
    session = request.config.stash[_SESSION]
    if session.broken is not None:
        pytest.skip(f"the bench is broken since {session.broken}")
    if session.bench is None:
        from rig.bench.opening import bench_from

        named = request.config.getoption("--bench")
        opened = bench_from(None if named is None else Path(named))
        opened.open()
        session.bench = opened
    return session.bench


@pytest.fixture
def scenario(request: pytest.FixtureRequest, bench: "OpenBench") -> "Stage":
    """Give what plays scenarios: ``run = scenario.play("approach_on_foot", speed_mps=1.8)``."""
    from rig.pytest_plugin.stage import Stage, StageSettings, default_pace

    config = request.config
    runs = request.node.stash[_RUNS] = _Runs()
    named = config.getoption("--runs")
    beside = request.path.parent
    settings = StageSettings(
        runs=config.rootpath / "runs" if named is None else Path(named),
        pace=config.getoption("--pace") or default_pace(bench),
        looked_in=(beside, beside / "scenarios", config.rootpath, config.rootpath / "scenarios"),
    )
    return Stage(
        bench=bench,
        settings=settings,
        test_name=request.node.name,
        note=lambda name, text: request.node.user_properties.append((name, text)),
        on_folder=runs.folders.append,
    )


@pytest.fixture
def provider(scenario: "Stage") -> "ProviderView":
    """Give the provider's side of the run that the test has played last."""
    from rig.pytest_plugin.provider_view import ProviderView

    return ProviderView(scenario.runs)


def _bench_file(config: pytest.Config) -> "BenchFile":
    from rig.bench.load import emulated_bench, load_bench

    named = config.getoption("--bench")
    return emulated_bench() if named is None else load_bench(Path(named))


def _is_bench_broken(error: BaseException) -> bool:
    # where nothing of the bench was imported, nothing of it can be broken
    errors = sys.modules.get("rig.errors")
    return errors is not None and isinstance(error, errors.BenchBrokenError)


def _bundle(folder: Path) -> str:
    """Bring a failed test's run into the state in which a person finds everything, and say how to replay it."""
    told = f"run: {folder}\nreplay it: tagrig replay {folder}"
    with contextlib.suppress(ImportError):
        from rig.errors import RigError
        from rig.report.write import write_report
        from rig.runs.folder import VERDICT_FILE
        from rig.truth.findings import read_verdict

        try:
            told += f"\nreport: {write_report(folder, read_verdict(folder / VERDICT_FILE))}"
        except (RigError, OSError, ValueError, LookupError, ArithmeticError) as exc:
            # a page that cannot be made must not hide why the test failed
            told += f"\nno report: {type(exc).__name__}: {exc}"
    return told
