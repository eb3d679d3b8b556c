"""From a command line to a configuration; shared by ``bridge`` and ``check-config``."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from bridge.config.load import LoadedConfig, load_config
from bridge.config.sources import override_from_option, overrides_from_environment
from bridge.errors import BridgeError, ConfigError, Problem
from rig.cli.exit_codes import ExitCode

_NAMED = re.compile(r"(?P<id>[A-Za-z0-9_-]+)=(?P<spec>[a-z0-9]+:.*)")
_FunctionT = TypeVar("_FunctionT", bound=Callable[..., object])


def config_options(function: _FunctionT) -> _FunctionT:
    """Add the options that build a configuration."""
    for option in (
        click.option(
            "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override one value: broker.url=mqtt://host."
        ),
        click.option("--broker", metavar="URL|nats|mosquitto", help="Broker, or which embedded one to start."),
        click.option("--zones", type=click.Path(path_type=Path), help="Zones file (GeoJSON)."),
        click.option(
            "--device",
            "devices",
            multiple=True,
            metavar="[ID=]TRANSPORT",
            help="A device without a configuration file, e.g. serial:/dev/ttyUSB0?baud=9600.",
        ),
    ):
        function = option(function)
    return function


def load_from_options(
    config: Path | None, devices: Sequence[str], zones: Path | None, broker: str | None, sets: Sequence[str]
) -> LoadedConfig:
    """Load the configuration that a command line describes.

    Raises
    ------
    ConfigError
        With all problems found.
    """
    overrides = overrides_from_environment(os.environ)
    options = []
    if broker in {"nats", "mosquitto"}:
        options.append(f'broker.embedded="{broker}"')
    elif broker is not None:
        options.append(f'broker.url="{broker}"')
    if zones is not None:
        options.append(f'zones.file="{zones.absolute()}"')
    overrides += [override_from_option(option) for option in (*options, *sets)]
    base: dict[str, object] | None = None
    if config is None and not any(option.startswith(("outbox.", "disclosure.")) for option in sets):
        # Nobody said where: a bridge that is tried out leaves nothing behind.
        base = {"outbox": {"durable": False}, "disclosure": {"enabled": False}}
    if devices:
        base = {**(base or {}), "device": [_device(text, index) for index, text in enumerate(devices, start=1)]}
    loaded = load_config(config, overrides=overrides, base=base)
    if broker in {"nats", "mosquitto"} and loaded.config.broker.url is not None:
        where = loaded.sources.nearest(("broker", "url"))
        message = f"--broker {broker} asks for an embedded broker, and this one is configured. Next: drop one of them"
        raise ConfigError([Problem(path="broker.url", where=where, message=message)])
    return loaded


def _device(text: str, number: int) -> dict[str, object]:
    """Read ``ID=TRANSPORT`` or a bare transport; the id is then ``tag-N``."""
    named = _NAMED.fullmatch(text)
    return {"id": named["id"], "transport": named["spec"]} if named else {"id": f"tag-{number}", "transport": text}


def refuse(error: BridgeError) -> int:
    """Print what is wrong with a configuration, one line each; give the exit code."""
    lines = [str(p) for p in error.problems] if isinstance(error, ConfigError) else [str(error)]
    for line in lines:
        click.echo(f"tagrig: {line}", err=True)
    sys.stderr.flush()
    return ExitCode.USAGE if isinstance(error, ConfigError) else ExitCode.BENCH_BROKEN
