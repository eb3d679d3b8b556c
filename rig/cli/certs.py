"""``tagrig certs``: a public key infrastructure for tests."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from protocols.mqtt.topics import TOPIC_ID_RULE, is_topic_id
from rig.cli.exit_codes import ExitCode
from rig.errors import PkiError
from rig.pki import AUTHORITY, BROKER, COMMANDS, make_pki

DEFAULT_HOSTS = ("localhost", "127.0.0.1", "::1")
DEFAULT_CLIENTS = ("bridge-1", "provider", "police", "wearer-reader", "protected-reader")
"""One name per role, as ``tagrig acl`` writes them."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--host",
    "hosts",
    multiple=True,
    help="Name or address under which the broker is reached; repeatable. [localhost, 127.0.0.1, ::1]",
)
@click.option(
    "--client", "clients", multiple=True, help="Name of a client; repeatable. [bridge-1 and one of each role]"
)
@click.option(
    "--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="How long the certificates hold."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the files and what they are for.")
def command(folder: Path, hosts: tuple[str, ...], clients: tuple[str, ...], days: int, as_json: bool) -> None:
    """Make certificates for tests in FOLDER: an authority, a broker, one client per role.

    And a key that signs commands: commands.pem is the bridge's (commands.provider_key_file), commands-key.pem the
    provider's. What is there already is kept, so that --client adds one. Keys have mode 0600. Not for real data: the
    authority's key lies beside what it signs.

    Exit codes: 0 done, 2 the folder or a name cannot be used.
    """
    names = clients or DEFAULT_CLIENTS
    wrong = next((name for name in names if not is_topic_id(name)), None)
    if wrong is not None:
        click.echo(f"tagrig: the client's name {wrong!r} stands in topics; expected {TOPIC_ID_RULE}", err=True)
        sys.exit(ExitCode.USAGE)
    taken = next((name for name in names if name in {AUTHORITY, BROKER, COMMANDS} or name.endswith("-key")), None)
    if taken is not None:
        click.echo(f"tagrig: {taken!r} names another file of the folder. Next: give the client another name", err=True)
        sys.exit(ExitCode.USAGE)
    try:
        pki, written = make_pki(
            folder,
            hosts=hosts or DEFAULT_HOSTS,
            clients=names,
            not_after=datetime.now(UTC) + timedelta(days=days),
        )
    except PkiError as exc:
        click.echo(f"tagrig: {exc}", err=True)
        sys.exit(ExitCode.USAGE)
    except OSError as exc:
        click.echo(f"tagrig: {exc.filename}: {exc.strerror}. Next: name a folder you may write", err=True)
        sys.exit(ExitCode.USAGE)
    if hosts and pki.pair(BROKER).public not in written:
        click.echo(
            f"tagrig: {pki.pair(BROKER).public} was there already and is kept as it is, without --host. Next: to have "
            "it made anew remove it, and its key",
            err=True,
        )
    if as_json:
        click.echo(msgspec.json.encode({"folder": str(folder), "written": [path.name for path in written]}))
        return
    for path in written:
        click.echo(path)
    click.echo(
        f"{len(written)} files written. In a bridge's configuration: ca_file = {str(pki.ca_file)!r}, cert_file = "
        f"{str(pki.pair(names[0]).public)!r}, key_file = {str(pki.pair(names[0]).private)!r}"
    )
