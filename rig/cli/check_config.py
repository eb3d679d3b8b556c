"""``tagrig check-config``: each value of a bridge configuration and where it came from."""

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from bridge.broker_access import path_settings
from bridge.commands.room import find_provider_key
from bridge.config.load import LoadedConfig
from bridge.config.sources import Key, key_text
from bridge.drivers import check_drivers
from bridge.errors import BridgeError, ConfigError
from bridge.partition import find_part, restrict
from bridge.plan import Plan, make_plan
from devices.clock import SystemClock
from rig.cli.bridge_options import config_options, load_from_options, refuse


@click.command()
@click.argument("config", type=click.Path(path_type=Path), required=False)
@config_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object: values with their sources, problems, warnings.")
def command(
    config: Path | None,
    devices: tuple[str, ...],
    zones: Path | None,
    broker: str | None,
    sets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print each value of the bridge configuration CONFIG and where it came from.

    That is a file and line, --set, the environment or the default. The zones file, the transports' specifications, the
    broker's certificate and password files and the provider's key are read too; no port and no connection is opened.

    Exit codes: 0 it can be used, 2 it cannot (every problem is listed with its place).
    """
    try:
        loaded = load_from_options(config, devices, zones, broker, sets)
        plan = make_plan(loaded, write_index=False)
        check_drivers(loaded, plan, SystemClock())
        own = restrict(loaded, find_part(loaded)).config
        path_settings(loaded, os.environ, embedded_url="mqtt://127.0.0.1")
        find_provider_key(loaded)
    except BridgeError as exc:
        if as_json and isinstance(exc, ConfigError):
            problems = [{"path": p.path, "where": p.where, "message": p.message} for p in exc.problems]
            click.echo(json.dumps({"ok": False, "problems": problems}))
        sys.exit(refuse(exc))
    values = list(_values(loaded))
    warnings = [*_warnings(plan), *_open_secrets(loaded)]
    if as_json:
        listed = [{"key": key_text(key), "value": value, "source": source} for key, value, source in values]
        click.echo(json.dumps({"ok": True, "values": listed, "warnings": warnings}))
        return
    rows = [("key", "value", "from"), *((key_text(key), json.dumps(value), source) for key, value, source in values)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, text, source in rows:
        click.echo(f"{name:{widths[0]}}  {text:{widths[1]}}  {source}")
    pairs, zones_count, smart = len(plan.pairs), len(plan.zone_refs), len(plan.charges)
    devices_said = f"{len(plan.devices)}"
    if own.bridge.partition is not None:
        devices_said += f" (part {own.bridge.partition}: {len(own.device)})"
    click.echo(f"usable. Devices: {devices_said}, zones: {zones_count}, pairs: {pairs}, smart tags: {smart}")
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _open_secrets(loaded: LoadedConfig) -> Iterator[str]:
    broker = loaded.config.broker
    for key, name in (("key_file", broker.key_file), ("password_file", broker.password_file)):
        if name is None:
            continue
        path = loaded.path_of(name)
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield f"broker.{key}: {path} can be read by others than its owner. Next: chmod 600 {path}"


def _values(loaded: LoadedConfig) -> Iterator[tuple[Key, object, str]]:
    yield from _walk(msgspec.to_builtins(loaded.config), (), loaded)


def _walk(node: object, key: Key, loaded: LoadedConfig) -> Iterator[tuple[Key, object, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _walk(value, (*key, name), loaded)
    elif isinstance(node, list | tuple) and any(isinstance(entry, dict) for entry in node):
        for index, entry in enumerate(node):
            yield from _walk(entry, (*key, index), loaded)
    else:
        yield key, node, loaded.sources.find(key) or "default"


def _warnings(plan: Plan) -> Iterator[str]:
    """Name what is allowed and probably not meant."""
    config = plan.config
    yield from plan.cautions
    ordered = {order.wearer for order in config.order}
    listening = {charge.beacon_wearer for charge in plan.charges}
    for order in config.order:
        if order.beacon_key_file is not None and order.wearer not in listening:
            yield f"order {order.id!r} has a beacon key but no smart tag that could listen for the beacon"
    for device in config.device:
        if device.role == "wearer" and config.order and device.id not in ordered:
            yield f"wearer {device.id!r} stands in no order: only its equipment is watched"
        if device.role == "protected" and not any(
            device.id in {p.device, p.smart_tag} for o in config.order for p in o.protected
        ):
            yield f"protected person's device {device.id!r} stands in no order: no proximity is judged"
    yield from (f"{config.zones.file}: {mend}" for mend in plan.mends)
    if config.zones.file is None and not len(plan.pairs):
        yield "there are neither zones nor pairs: only equipment is watched"
