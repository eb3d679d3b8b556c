"""``tagrig audit``: is the record of disclosures whole, and what do the records say of a tag and a period."""

import json
import sys
from pathlib import Path

import click

from rig.audit.errors import AuditError
from rig.audit.verify import Chain, verify_folder
from rig.cli.exit_codes import ExitCode


@click.group()
def command() -> None:
    """Verify the disclosure log, and make the pack that a court is given for a tag and a period."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--head", metavar="HASH", help="Hash of a line that was noted elsewhere; it must still stand in the log.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def verify(folder: Path, head: str | None, as_json: bool) -> None:
    """Verify the disclosure logs in FOLDER and name the first broken line.

    Every line has the hash of the one before it, over files and restarts. Note the head that is printed in another
    place: with --head it shows later whether the newest lines were taken away or all of it was made anew.

    Exit codes: 0 whole, 1 broken, 2 there is no log.
    """
    try:
        chains = verify_folder(folder, noted_head=head)
    except AuditError as exc:
        click.echo(f"tagrig audit: {exc}", err=True)
        sys.exit(ExitCode.USAGE)
    missing_head = head is not None and not any(chain.has_noted_head for chain in chains)
    whole = all(chain.is_whole for chain in chains) and not missing_head
    if as_json:
        found = [_as_json(chain) for chain in chains]
        click.echo(json.dumps({"whole": whole, "noted_head_found": not missing_head, "chains": found}))
    else:
        for chain in chains:
            _tell(chain)
        if missing_head:
            click.echo(f"the noted head {head} is not in it: its newest lines were taken away, or it was made anew")
    sys.exit(ExitCode.OK if whole else ExitCode.VERDICT_FAIL)


def _tell(chain: Chain) -> None:
    verdict = "whole" if chain.is_whole else "BROKEN"
    click.echo(
        f"{chain.bridge}: {verdict}. {chain.files} files, {chain.lines} lines ({chain.first} to {chain.last}), "
        f"{chain.disclosures} disclosures, {chain.starts} starts"
    )
    for note in chain.notes:
        click.echo(f"  note: {note}")
    if chain.broken is not None:
        click.echo(f"  first broken line: {chain.broken}")
    click.echo(f"  head: {chain.head}")


def _as_json(chain: Chain) -> dict[str, object]:
    broken = chain.broken
    return {
        "bridge": chain.bridge,
        "whole": chain.is_whole,
        "files": chain.files,
        "lines": chain.lines,
        "first": chain.first,
        "last": chain.last,
        "disclosures": chain.disclosures,
        "starts": chain.starts,
        "torn": chain.torn,
        "given_up": chain.given_up,
        "head": chain.head,
        "notes": chain.notes,
        "broken": None if broken is None else {"path": str(broken.path), "line": broken.line, "what": broken.what},
    }
