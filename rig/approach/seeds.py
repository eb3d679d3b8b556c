"""``python -m rig.approach.seeds --first 1 --count 20``: the suite on many draws, one line each; misses with reasons.

Folders of runs without anything wrong are removed.
"""

import shutil
import sys
from pathlib import Path

import click
import msgspec

from rig.approach.result import SuiteResult
from rig.approach.suite import play_draw
from rig.approach.table import reasons
from rig.cli.exit_codes import ExitCode
from rig.suites import SuiteOptions


@click.command()
@click.option("--first", type=int, default=1, show_default=True, help="First seed.")
@click.option("--count", type=click.IntRange(1), default=20, show_default=True, help="How many seeds.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Runs at once.")
@click.option("--family", help="Only this family.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="For run folders."
)
@click.option("--json", "json_folder", type=click.Path(path_type=Path), help="Folder for one JSON file a seed.")
def main(first: int, count: int, jobs: int, family: str | None, out: Path, json_folder: Path | None) -> None:
    """Play many draws; exit code 0 where all of them pass."""
    options = SuiteOptions(out=out, jobs=jobs, family=family, with_report=False)
    good = True
    for seed in range(first, first + count):
        result = play_draw(seed, options)
        good = good and result.summary.verdict == "PASS"
        click.echo("\n".join(lines_of(seed, result)))
        sys.stdout.flush()
        if json_folder is not None:
            json_folder.mkdir(parents=True, exist_ok=True)
            (json_folder / f"approach-{seed}.json").write_bytes(msgspec.json.encode(result) + b"\n")
        for each in result.runs:
            if each.verdict == "PASS":
                shutil.rmtree(each.folder, ignore_errors=True)
    sys.exit(ExitCode.OK if good else ExitCode.VERDICT_FAIL)


def lines_of(seed: int, result: SuiteResult) -> list[str]:
    """Make a seed's line, and one for each run with something wrong."""
    summary = result.summary
    late = "-" if summary.late_s is None else f"{summary.late_s.p50:.1f} / {summary.late_s.p95:.1f} s"
    head = (
        f"seed {seed}: {summary.alerted} of {summary.runs} alerted, {summary.partly} partly, {summary.silent} silent, "
        f"victim unit {summary.victim_alerted}, late p50 / p95 {late}: {summary.verdict}"
    )
    return [head, *(f"  {line}" for line in reasons(result))]


if __name__ == "__main__":
    main()
