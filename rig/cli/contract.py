"""``tagrig contract``: schemas, the AsyncAPI document and samples for those who read the alerts."""

import sys
from pathlib import Path

import click

from protocols.mqtt.schema import contract_files, sample_files
from rig.cli.exit_codes import ExitCode


@click.command()
@click.option("--write", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write all files below this.")
@click.option("--samples", is_flag=True, help="With --write: a sample of every message too.")
@click.option("--print", "name", metavar="NAME", help="Print one file: asyncapi.json, schemas/tag_alert.json, ...")
def command(folder: Path | None, samples: bool, name: str | None) -> None:
    """Give the contract with the provider as documents.

    An AsyncAPI 3.0 document, a JSON Schema 2020-12 per message, and a sample of every message: each alert raised,
    updated and cleared, each step of a warning, each command. Without an option the names of the files are listed.

    Exit codes: 0 done, 2 there is no such file, or the folder cannot be written.
    """
    contract = contract_files()
    files = contract | sample_files()
    if name is not None:
        if name not in files:
            click.echo(f"tagrig: there is no {name!r}. Next: tagrig contract lists the files", err=True)
            sys.exit(ExitCode.USAGE)
        click.echo(files[name])
        return
    if folder is None:
        for each in files:
            click.echo(each)
        return
    wanted = files if samples else contract
    try:
        for each, body in wanted.items():
            path = folder / each
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    except OSError as exc:
        click.echo(f"tagrig: {exc.filename}: {exc.strerror}. Next: name a folder you may write", err=True)
        sys.exit(ExitCode.USAGE)
    click.echo(f"{len(wanted)} files written below {folder}")
