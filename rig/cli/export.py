"""``tagrig export``: a run in the formats of other people's tools."""

import json
import sys
from pathlib import Path

import click

from rig.cli.exit_codes import ExitCode
from rig.errors import RigError
from rig.report.export import export_run


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to. [RUN/export]")
@click.option("--stamped", is_flag=True, help="NMEA lines with a TAG block: device and time of arrival.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: Path, out: Path | None, stamped: bool, as_json: bool) -> None:
    """Export a run's folder: what each line carried as NMEA text, the radio as btsnoop, the trace for Perfetto.

    Exit codes: 0 exported, 2 it is not the folder of a run.
    """
    target = out or run / "export"
    try:
        done, missing = export_run(run, target, stamped=stamped)
    except RigError as exc:
        click.echo(f"tagrig export: {exc}", err=True)
        sys.exit(ExitCode.USAGE)
    if as_json:
        files = [{"path": str(each.path), "what": each.what} for each in done]
        click.echo(json.dumps({"files": files, "missing": missing}))
        return
    for each in done:
        click.echo(f"{each.path}   {each.what}")
    for text in missing:
        click.echo(text, err=True)
