"""``tagrig provider-check``: whether the contract is held on the way to a provider, and by the provider itself."""

import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import click
import msgspec

from devices.clock import SystemClock
from protocols.mqtt.topics import TOPIC_ID_RULE, default_root, is_topic_id, is_topic_root
from rig.cli.exit_codes import ExitCode
from rig.cli.stop_signals import STOP_SIGNALS
from rig.errors import RigError
from rig.provider.address import BrokerAddressError
from rig.provider.check.client import BrokerDoor
from rig.provider.check.findings import Finding, exit_code, render, whole_verdict
from rig.provider.check.listen import Listening, ListenOptions
from rig.provider.check.send import SampleRun, SendOptions

PASSWORD_VARIABLE = "TAGRIG_BROKER_PASSWORD"


@click.command()
@click.option("--broker", default="mqtt://127.0.0.1:1883", show_default=True, metavar="URL", help="Where to look.")
@click.option("--agency", default="demo", show_default=True, help="Whose topics: em/v1/AGENCY.")
@click.option("--root", help="Topic root, where it is not the default of the agency.")
@click.option("--consumer", default="check", show_default=True, help="Our name; the client id is tagrig-check-NAME.")
@click.option("--for-s", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Listen so long, twice.")
@click.option(
    "--away-s",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    help="Between the two, vanish for so long: nothing may be missing afterwards.",
)
@click.option(
    "--heartbeat-s",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="policy.heartbeat_interval_s of the bridges.",
)
@click.option(
    "--max-latency-s", type=click.FloatRange(min=0), default=5.0, show_default=True, help="Detected to here, at p99."
)
@click.option(
    "--receipts",
    is_flag=True,
    help="Confirm what comes and see that the bridge takes it. Not beside a desk that should confirm it itself.",
)
@click.option("--announce", is_flag=True, help="Say online and offline as a consumer. Not as the only consumer.")
@click.option("--send-samples", is_flag=True, help="Play the bridge: send every kind of message, watch for receipts.")
@click.option(
    "--bridge-id",
    default="provider-check",
    show_default=True,
    help="With --send-samples: the name that the made-up bridge has in topics and sources.",
)
@click.option(
    "--receipt-timeout-s",
    type=click.FloatRange(min=0.1),
    default=15.0,
    show_default=True,
    help="With --send-samples: how long a receipt may take.",
)
@click.option("--mqtt-version", type=click.Choice(["5", "3.1.1"]), default="5", show_default=True)
@click.option("--username", help=f"User at the broker; the password comes from {PASSWORD_VARIABLE}.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="Authority to trust for mqtts://.")
@click.option("--cert-file", type=click.Path(path_type=Path), help="Our certificate.")
@click.option("--key-file", type=click.Path(path_type=Path), help="Its key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per finding, and one at the end.")
def command(
    broker: str,
    agency: str,
    root: str | None,
    consumer: str,
    for_s: float,
    away_s: float,
    heartbeat_s: float,
    max_latency_s: float,
    receipts: bool,
    announce: bool,
    send_samples: bool,
    bridge_id: str,
    receipt_timeout_s: float,
    mqtt_version: Literal["5", "3.1.1"],
    username: str | None,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Check a provider's broker and subscriber against the contract, and say in plain words what is wrong.

    It listens as a consumer of its own beside the provider's, with a session of its own, which it takes away at the
    end: subscriptions, schemas, order, gaps, duplicates, retained states, heartbeats, latency, what the bridge itself
    complains of. It vanishes once and comes back, to see that nothing is missing. Latency is as right as the two
    machines' clocks.

    With --send-samples it plays a bridge instead: every kind of message, one of them twice, one with a field that is
    unknown, one out of order, all marked as tests; and watches whether the provider's subscriber confirms them.

    Exit codes: 0 all that was seen is right, 1 something is wrong, 2 usage, 3 it could not be judged.
    """
    top = root or default_root(agency)
    if not is_topic_root(top):
        raise click.UsageError(f"{top!r} is not a topic root; expected levels of letters, digits, '-', '_'")
    for name, value in (("--consumer", consumer), ("--bridge-id", bridge_id)):
        if not is_topic_id(value):
            raise click.UsageError(f"{name} {value!r} stands in topics; expected {TOPIC_ID_RULE}")
    stopping: list[int] = []
    for number in STOP_SIGNALS:
        signal.signal(number, lambda received, _frame: stopping.append(received))
    door = BrokerDoor(
        url=broker,
        version=mqtt_version,
        username=username,
        password=os.environ.get(PASSWORD_VARIABLE),
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
    )
    try:
        door.context()
    except BrokerAddressError as exc:
        raise click.UsageError(str(exc)) from exc
    clock = SystemClock()
    findings: Iterable[Finding]
    try:
        if send_samples:
            options = SendOptions(root=top, agency=agency, bridge_id=bridge_id, receipt_timeout_s=receipt_timeout_s)
            findings = SampleRun(door, options, clock=clock, is_stopped=lambda: bool(stopping)).run()
        else:
            listen = ListenOptions(
                root=top,
                consumer=consumer,
                for_s=for_s,
                away_s=away_s,
                heartbeat_s=heartbeat_s,
                max_latency_s=max_latency_s,
                sends_receipts=receipts,
                announces=announce,
            )
            findings = Listening(door, listen, clock=clock, is_stopped=lambda: bool(stopping)).run()
        told = _tell(findings, as_json=as_json)
    except RigError as exc:
        click.echo(f"tagrig: {exc}", err=True)
        sys.exit(ExitCode.BENCH_BROKEN)
    sys.exit(exit_code(told))


def _tell(findings: Iterable[Finding], *, as_json: bool) -> list[Finding]:
    """Print each finding as it is made, and the whole at the end."""
    told = []
    for finding in findings:
        told.append(finding)
        click.echo(msgspec.json.encode(finding) if as_json else render([finding]))
    verdict = whole_verdict(told)
    click.echo(json.dumps({"verdict": verdict}) if as_json else f"{verdict}")
    return told
