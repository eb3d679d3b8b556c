"""``tagrig acl``: access lists for a provider's broker."""

import sys
from typing import Literal

import click

from protocols.mqtt.access import Party, Role, render_mosquitto, render_nats
from protocols.mqtt.topics import TOPIC_ID_RULE, default_root, is_topic_id, is_topic_root
from rig.cli.exit_codes import ExitCode

_NAMES = {
    Role.BRIDGE: "bridge-1",
    Role.PROVIDER: "provider",
    Role.POLICE: "police",
    Role.WEARER_READER: "wearer-reader",
    Role.PROTECTED_READER: "protected-reader",
}
"""One client per role, named as ``tagrig certs`` names them."""


@click.command()
@click.argument("broker", type=click.Choice(["mosquitto", "nats"]))
@click.option("--root", default=default_root("demo"), show_default=True, help="Root of the topics (bridge.topic_root).")
@click.option("--bridge-id", "bridges", multiple=True, help="Name of a bridge; repeatable. [bridge-1]")
@click.option("--provider", "providers", multiple=True, help="Name of a provider's consumer; repeatable. [provider]")
@click.option("--police", "police", multiple=True, help="Reader of incidents; repeatable. [police]")
@click.option("--wearer-reader", "wearer", multiple=True, help="Reader of the wearers' side. [wearer-reader]")
@click.option(
    "--protected-reader", "protected", multiple=True, help="Reader of the protected persons' side. [protected-reader]"
)
@click.option("--passwords", is_flag=True, help="NATS: clients give passwords instead of certificates.")
def command(
    broker: Literal["mosquitto", "nats"],
    root: str,
    bridges: tuple[str, ...],
    providers: tuple[str, ...],
    police: tuple[str, ...],
    wearer: tuple[str, ...],
    protected: tuple[str, ...],
    passwords: bool,
) -> None:
    """Print the access list of the contract's roles for a broker.

    A client is known by the name in its certificate, or by its user name. What is not granted is refused. Nothing is
    granted to a client that is not named here; a divided bridge has one name per part (bridge-1-2of8).

    Exit codes: 0 printed, 2 a name cannot stand in topics.
    """
    if not is_topic_root(root):
        click.echo(f"tagrig: {root!r} is no topic root; expected levels of letters, digits, '-', '_'", err=True)
        sys.exit(ExitCode.USAGE)
    given = dict(zip(Role, (bridges, providers, police, wearer, protected), strict=True))
    parties = [Party(role=role, name=name) for role, names in given.items() for name in names or (_NAMES[role],)]
    names = [party.name for party in parties]
    for name in names:
        if not is_topic_id(name):
            click.echo(f"tagrig: the name {name!r} stands in topics; expected {TOPIC_ID_RULE}", err=True)
            sys.exit(ExitCode.USAGE)
        if names.count(name) > 1:
            click.echo(f"tagrig: {name!r} is named twice; one client has one role", err=True)
            sys.exit(ExitCode.USAGE)
    text = (
        render_mosquitto(parties, root) if broker == "mosquitto" else render_nats(parties, root, by_password=passwords)
    )
    click.echo(text, nl=False)
