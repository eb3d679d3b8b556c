"""``tagrig command``: one signed command to a bridge, as its provider sends it, and the answers to it."""

import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Literal

import click
import msgspec

from devices.clock import SystemClock
from protocols.errors import KeyFormatError
from protocols.mqtt.commands import COMMANDS, Command
from protocols.mqtt.messages import ReplyEvent
from protocols.mqtt.signed import sign_command
from protocols.mqtt.topics import TOPIC_ID_RULE, Side, Stream, Topic, default_root, is_topic_id, is_topic_root
from rig.cli.exit_codes import ExitCode
from rig.errors import RigError
from rig.provider.address import BrokerAddressError
from rig.provider.check.client import BrokerDoor, CheckClient

PASSWORD_VARIABLE = "TAGRIG_BROKER_PASSWORD"

CONNECT_TIMEOUT_S = 10.0

_reply_decoder = msgspec.json.Decoder(ReplyEvent)
_command_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


@click.command(epilog=f"Commands: {', '.join(COMMANDS)}.")
@click.argument("text", metavar="JSON|@FILE")
@click.option(
    "--broker", default="mqtt://127.0.0.1:1883", show_default=True, metavar="URL", help="The bridge's broker."
)
@click.option("--agency", default="demo", show_default=True, help="Whose topics: em/v1/AGENCY.")
@click.option("--root", help="Topic root, where it is not the default of the agency.")
@click.option("--bridge-id", default="bridge-1", show_default=True, help="The bridge that shall obey.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The provider's private key (Ed25519, PEM); tagrig certs makes one for tests: commands-key.pem.",
)
@click.option("--issuer", default="provider", show_default=True, help="The provider's name: commands.issuer.")
@click.option("--wait-s", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="For the last answer.")
@click.option("--mqtt-version", type=click.Choice(["5", "3.1.1"]), default="5", show_default=True)
@click.option("--username", help=f"User at the broker; the password comes from {PASSWORD_VARIABLE}.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="Authority to trust for mqtts://.")
@click.option("--client-cert-file", type=click.Path(path_type=Path), help="Our certificate.")
@click.option("--client-key-file", type=click.Path(path_type=Path), help="Its key.")
def command(
    text: str,
    broker: str,
    agency: str,
    root: str | None,
    bridge_id: str,
    key_file: Path,
    issuer: str,
    wait_s: float,
    mqtt_version: Literal["5", "3.1.1"],
    username: str | None,
    ca_file: Path | None,
    client_cert_file: Path | None,
    client_key_file: Path | None,
) -> None:
    """Sign a command, send it, and print each answer as one line of JSON.

    For example: tagrig command --key-file certs/commands-key.pem '{"command": "ping"}'

    Exit codes: 0 done, 1 refused or failed, 2 usage, 3 no answer.
    """
    top = root or default_root(agency)
    if not is_topic_root(top):
        raise click.UsageError(f"{top!r} is not a topic root; expected levels of letters, digits, '-', '_'")
    if not is_topic_id(bridge_id):
        raise click.UsageError(f"--bridge-id {bridge_id!r} stands in topics; expected {TOPIC_ID_RULE}")
    asked = _read_command(text)
    if key_file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise click.UsageError(f"{key_file} can be read by others than its owner. Next: chmod 600 {key_file}")
    clock = SystemClock()
    nonce = secrets.token_urlsafe(18)
    try:
        body = sign_command(
            asked,
            key_pem=key_file.read_bytes(),
            issuer=issuer,
            audience=bridge_id,
            nonce=nonce,
            issued_utc_ns=clock.utc_ns(),
        )
    except KeyFormatError as exc:
        raise click.UsageError(f"{key_file}: {exc}") from exc
    door = BrokerDoor(
        url=broker,
        version=mqtt_version,
        username=username,
        password=os.environ.get(PASSWORD_VARIABLE),
        ca_file=ca_file,
        cert_file=client_cert_file,
        key_file=client_key_file,
    )
    try:
        door.context()
    except BrokerAddressError as exc:
        raise click.UsageError(str(exc)) from exc
    client = CheckClient(door, f"tagrig-command-{nonce[:8]}", clock=clock)
    topics = {
        stream: str(Topic(root=top, side=Side.BRIDGE, subject=bridge_id, stream=stream))
        for stream in (Stream.COMMAND, Stream.REPLY)
    }
    try:
        client.connect(timeout_s=CONNECT_TIMEOUT_S, fresh=True)
        for refused, why in client.subscribe([topics[Stream.REPLY]], timeout_s=CONNECT_TIMEOUT_S).items():
            raise RigError(f"{broker}: the broker does not let us read {refused}: {why}")
        reason = client.publish(topics[Stream.COMMAND], body, timeout_s=CONNECT_TIMEOUT_S)
        if reason is None or reason >= 0x80:
            told = "no answer" if reason is None else f"reason code 0x{reason:02x}"
            raise RigError(f"{broker}: the broker did not take the command: {told}")
        code = _follow(client, nonce, clock, wait_s)
    except RigError as exc:
        click.echo(f"tagrig: {exc}", err=True)
        code = ExitCode.BENCH_BROKEN
    finally:
        client.disconnect()
    sys.exit(code)


def _read_command(text: str) -> Command:
    """Read the command as the bridge will: what it would refuse is not sent."""
    try:
        content = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
    except OSError as exc:
        raise click.UsageError(f"{text[1:]}: {exc.strerror}") from exc
    try:
        return _command_decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        samples = "tagrig contract --write DIR --samples gives one of each"
        raise click.UsageError(f'{exc}. Expected for example {{"command": "ping"}}; {samples}') from exc


def _follow(client: CheckClient, nonce: str, clock: SystemClock, wait_s: float) -> ExitCode:
    """Print the answers to our command until the last one."""
    deadline_mono_ns = clock.mono_ns() + int(wait_s * 1e9)
    seen: set[str] = set()
    while (left_ns := deadline_mono_ns - clock.mono_ns()) > 0:
        came = client.find_next(left_ns / 1e9)
        if came is None:
            continue
        try:
            event = _reply_decoder.decode(came.body)
        except msgspec.DecodeError:
            click.echo(f"tagrig: {came.topic}: not an answer as the contract has it", err=True)
            continue
        if event.data.nonce != nonce or event.id in seen:
            continue
        seen.add(event.id)
        click.echo(msgspec.json.encode(event.data))
        if event.data.state != "accepted":
            return ExitCode.OK if event.data.state == "done" else ExitCode.VERDICT_FAIL
    click.echo(f"tagrig: no answer within {wait_s:g} s. Next: is the bridge running, and is its id right?", err=True)
    return ExitCode.BENCH_BROKEN
