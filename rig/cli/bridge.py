"""``tagrig bridge``: read devices, judge them, publish to the provider's broker."""

import asyncio
import contextlib
import logging
import sys
from pathlib import Path

import click
import msgspec

from bridge import life
from bridge.app import BridgeApp, Ending, Outcome
from bridge.errors import BridgeError
from bridge.opening import OpenedBridge, open_bridge
from devices.clock import SystemClock
from devices.errors import DevicesError
from rig.cli.aside import Aside
from rig.cli.bridge_options import config_options, load_from_options, refuse
from rig.cli.exit_codes import ExitCode
from rig.cli.stop_signals import STOP_SIGNALS

_log = logging.getLogger(__name__)

SWITCH_S = 0.001
"""Longest turn of one thread at the interpreter while another wants it. Python's own 5 ms make an alert wait for each
call by which the publisher gives it up, some twenty on its way: with a loop that is fully busy 0.8 s (p90), 0.26 s with
this. Less costs more changes than it saves."""


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Configuration (TOML); see bridge/README.md.")
@config_options
@click.option("--json", "as_json", is_flag=True, help="One JSON line per event of the bridge's life on stdout.")
@click.option("--exit-when-done", is_flag=True, help="Stop once all devices are replays that have ended.")
@click.option(
    "--flush-timeout-s", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Limit for stopping."
)
@click.option("--epoch", help="Name of this start; given, a replay makes the ids of an earlier run.")
@click.option("--partition", metavar="K/N", help="Serve the K-th of N parts of the devices, e.g. 2/8.")
@click.option("-v", "--verbose", count=True, help="More on stderr: -v debug.")
@click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only.")
def command(
    config: Path | None,
    devices: tuple[str, ...],
    zones: Path | None,
    broker: str | None,
    sets: tuple[str, ...],
    as_json: bool,
    exit_when_done: bool,
    flush_timeout_s: float,
    epoch: str | None,
    partition: str | None,
    verbose: int,
    quiet: bool,
) -> None:
    """Read devices, judge them against zones and protected persons, publish alerts over MQTT.

    Without a configured broker it starts one on loopback. Stop it with Ctrl-C, SIGTERM or by closing the
    terminal: what waits is delivered first.

    Exit codes: 0 stopped in order, and what was not delivered waits on disk for the next start; 2 the configuration
    cannot be used; 3 the embedded broker did not start, the outbox is in use, or messages are lost; 70 a loop hung and
    the process ended itself: start it again.
    """
    errors = Aside(sys.stderr)
    lines = _JsonLines() if as_json else None
    _start_logging(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO, errors)
    observe = _ignore if lines is None else lines
    try:
        part = (f'bridge.partition="{partition}"',) if partition is not None else ()
        loaded = load_from_options(config, devices, zones, broker, (*sets, *part))
        with contextlib.closing(open_bridge(loaded, SystemClock())) as opened:
            for mend in opened.plan.mends:
                _log.warning("%s: %s", opened.loaded.config.zones.file, mend)
            if config is None and not opened.loaded.config.outbox.durable:
                _log.warning(
                    "without a configuration file messages wait in memory, and nothing is written about what is "
                    "disclosed. Next: --config, or --set outbox.durable=true --set disclosure.enabled=true"
                )
            sys.setswitchinterval(SWITCH_S)
            outcome = asyncio.run(_run(opened, observe, exit_when_done, flush_timeout_s, epoch))
    except BridgeError as exc:
        sys.exit(refuse(exc))
    except DevicesError as exc:
        click.echo(f"tagrig: {exc}", err=True)
        sys.exit(ExitCode.BENCH_BROKEN)
    finally:
        if lines is not None:
            lines.close()
        # What comes from now on, and a traceback, goes straight there.
        logging.basicConfig(stream=sys.stderr, force=True)
        errors.close()
    if outcome.lost or outcome.ending is Ending.PUBLISHER_DIED:
        sys.exit(ExitCode.BENCH_BROKEN)


async def _run(
    opened: OpenedBridge,
    observe: life.LifeObserver,
    exit_when_done: bool,
    flush_timeout_s: float,
    epoch: str | None,
) -> Outcome:
    app = BridgeApp(
        opened.loaded,
        opened.plan,
        clock=SystemClock(),
        observe=observe,
        exit_when_done=exit_when_done,
        flush_timeout_s=flush_timeout_s,
        epoch=epoch,
        outbox_folder=opened.outbox_folder,
        disk_trouble=opened.disk_trouble,
    )
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, app.request_stop)
    return await app.run()


def _start_logging(level: int, errors: Aside) -> None:
    logging.basicConfig(level=level, stream=errors, format="%(asctime)s %(levelname)-7s %(message)s", force=True)
    # asyncio's own debug lines are about the loop, not about tags.
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class _JsonLines:
    """Prints events; a reader that hangs or goes away must not take the bridge with it."""

    def __init__(self) -> None:
        self._lines = Aside(sys.stdout, self._is_unread)

    def __call__(self, event: life.LifeEvent) -> None:
        self._lines.write(f"{msgspec.json.encode(event).decode()}\n")

    def close(self) -> None:
        left_out = self._lines.close()
        if left_out:
            _log.warning("%d JSON events were not read in time and are left out", left_out)

    def _is_unread(self, exc: OSError) -> None:
        _log.warning("nobody reads the JSON events any more (%s); the bridge goes on without them", exc.strerror)


def _ignore(_event: life.LifeEvent) -> None:
    return
