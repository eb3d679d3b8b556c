"""Everything that a run leaves for people and for programs, from its folder and its verdict alone."""

from collections.abc import Sequence
from pathlib import Path

from rig.report.junit import JunitRun, write_junit
from rig.report.summary import write_summary
from rig.report.trace import write_trace
from rig.runs.folder import JUNIT_FILE, REPORT_FILE, SUMMARY_FILE, TRACE_FILE
from rig.runs.load import LoadedRun, load_run
from rig.truth.findings import RunVerdict


def write_report(folder: Path, verdict: RunVerdict) -> Path:
    """Write the page, ``junit.xml``, ``summary.json`` and ``trace.json`` of a run; return the page's path.

    Raises
    ------
    RunFolderError
        It is not the folder of a run, or one of its files is damaged.
    """
    run = load_run(folder)
    write_records(run, verdict)
    return write_html(run, verdict)


def write_records(run: LoadedRun, verdict: RunVerdict) -> None:
    """Write what programs read; far cheaper than the page."""
    write_junit(run.folder / JUNIT_FILE, [junit_run(run, verdict)], name=run.file.suite or "tagrig")
    write_summary(run.folder / SUMMARY_FILE, run, verdict)
    write_trace(run.folder / TRACE_FILE, run, verdict)


def write_html(run: LoadedRun, verdict: RunVerdict) -> Path:
    """Write the page."""
    # the plotting library takes a second to load: only where a page is wanted
    from rig.report.gather import gather
    from rig.report.page import write_page

    path = run.folder / REPORT_FILE
    write_page(gather(run, verdict), path)
    return path


def junit_run(run: LoadedRun, verdict: RunVerdict) -> JunitRun:
    """Make the entry of a run in a JUnit file; a suite writes all of its runs into one."""
    file = run.file
    facts: Sequence[tuple[str, str]] = [
        ("seed", str(file.seed)),
        ("pace", file.pace),
        ("folder", run.folder.name),
        *((f"parameter.{name}", str(value)) for name, value in file.parameters.items()),
        *((f"role.{role.role}", f"{role.device} {role.kind} {role.firmware}".strip()) for role in file.roles),
        *((f"version.{name}", version) for name, version in sorted(file.versions.items())),
        *(("fault", fault) for fault in file.faults),
    ]
    return JunitRun(
        suite=".".join(part for part in (file.suite, file.family) if part),
        name=file.run or file.title,
        duration_s=run.scenario.duration_s / file.speed,
        start_utc_ns=file.start_utc_ns,
        verdict=verdict,
        facts=facts,
    )
