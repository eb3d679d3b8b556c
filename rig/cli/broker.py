"""``tagrig broker``: the embedded broker alone."""

import asyncio
import sys
from pathlib import Path
from typing import Literal

import click
import msgspec

from bridge.embedded_broker import EmbeddedBroker
from bridge.errors import BrokerStartError
from rig.cli.exit_codes import ExitCode
from rig.cli.stop_signals import STOP_SIGNALS


@click.command()
@click.option(
    "--engine", type=click.Choice(["nats", "mosquitto"]), default="nats", show_default=True, help="Which broker to run."
)
@click.option(
    "--store", type=click.Path(path_type=Path), help="Folder for its messages. [a private one, removed after]"
)
@click.option("--port", type=click.IntRange(1, 65535), help="Where it listens. [one that is free]")
@click.option("--json", "as_json", is_flag=True, help="One JSON line when it listens, one when it ends.")
def command(engine: Literal["nats", "mosquitto"], store: Path | None, port: int | None, as_json: bool) -> None:
    """Run the bridge's embedded broker alone, on loopback, until Ctrl-C or SIGTERM.

    Exit codes: 0 stopped in order, 3 it did not start or ended by itself.
    """
    broker = EmbeddedBroker(engine, store, port)
    try:
        broker.start()
    except BrokerStartError as exc:
        click.echo(f"tagrig: {exc}", err=True)
        sys.exit(ExitCode.BENCH_BROKEN)
    except OSError as exc:
        click.echo(f"tagrig: the broker's store {store}: {exc.strerror}. Next: name a folder you may write", err=True)
        sys.exit(ExitCode.BENCH_BROKEN)
    try:
        if as_json:
            click.echo(msgspec.json.encode({"event": "ready", "broker": broker.url, "pid": broker.pid}))
        else:
            click.echo(f"{engine} listens on {broker.url} (MQTT {broker.mqtt_version}); Ctrl-C ends it")
        was_asked = asyncio.run(_until_stopped(broker))
    finally:
        broker.stop()
    if not was_asked:
        click.echo("tagrig: the broker ended by itself", err=True)
        sys.exit(ExitCode.BENCH_BROKEN)
    if as_json:
        click.echo(msgspec.json.encode({"event": "stopped"}))


async def _until_stopped(broker: EmbeddedBroker) -> bool:
    """Wait for a signal or the broker's end; True: a signal."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(stop.wait()), asyncio.create_task(broker.ended())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return stop.is_set()
