"""``tagrig emulate victim``: one smart tag, behind an emulated Bluetooth service or on a real radio."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from devices.clock import SystemClock
from rig.ble.air import Air
from rig.ble.bench import BleBench
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.firmware.smp import SmpAction, make_server
from rig.ble.hci_port import EXAMPLES, HciPort, open_hci_port
from rig.ble.keys import key_at, read_key, write_secret
from rig.ble.session import FIRST_VERSION
from rig.ble.session_words import (
    AirReady,
    AirWord,
    CommandDone,
    CommandError,
    CommandRefused,
    TagInfo,
    target_of,
    word_of,
)
from rig.ble.smp_server import SmpSerialPort
from rig.ble.victim import INTERVAL_S, VictimTag
from rig.ble.victim_commands import victim_actions
from rig.cli.emulate_air import Speaker
from rig.cli.emulate_lines import follow_lines
from rig.cli.exit_codes import ExitCode
from rig.errors import RigError

_NAME = "victim"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    transport: str | None
    key_file: Path
    beacon_key_file: Path | None
    passkey: int | None
    guarded: bool
    link: Path | None
    interval_s: float
    battery_pct: float
    seed: int | None
    as_json: bool


@click.command(
    epilog="Commands on standard input: press, hold SECONDS, sos, battery PCT, motion on|off, reboot, state, smp."
)
@click.option("--transport", help=f"A real HCI controller, such as {EXAMPLES}. [emulated]")
@click.option(
    "--key-file", type=click.Path(path_type=Path, dir_okay=False), help="Its key; made if missing. [a new one]"
)
@click.option(
    "--beacon-key-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Key of its beacon.",
)
@click.option("--passkey", type=click.IntRange(0, 999_999), help="Six digits on its label: pairing asks for them.")
@click.option("--guarded", is_flag=True, help="It answers bonded peers only; needs --passkey.")
@click.option("--link", type=click.Path(path_type=Path), help="Also take firmware on a pseudo-terminal with this name.")
@click.option(
    "--interval-s",
    type=click.FloatRange(0.02, 10.24),
    default=INTERVAL_S,
    show_default=True,
    help="Advertising interval.",
)
@click.option(
    "--battery-pct", type=click.FloatRange(1, 100), default=83.0, show_default=True, help="Battery at the start."
)
@click.option("--seed", type=int, help="Fixes key and addresses.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: ready, change, done, refused.")
def command(
    transport: str | None,
    key_file: Path | None,
    beacon_key_file: Path | None,
    passkey: int | None,
    guarded: bool,
    link: Path | None,
    interval_s: float,
    battery_pct: float,
    seed: int | None,
    as_json: bool,
) -> None:
    """Emulate the smart tag of a protected person.

    Without --transport it stands behind an emulated Bluetooth service: export what is printed as
    DBUS_SYSTEM_BUS_ADDRESS. With it, the same tag goes on a real radio, for a phone, a gateway or a bridge to find.
    """
    if guarded and passkey is None:
        raise click.UsageError("--guarded: a bond with a passkey needs one. Next: add --passkey 123456")
    with tempfile.TemporaryDirectory(prefix="tagrig-keys-") as folder:
        options = _Options(
            transport=transport,
            key_file=(key_file or Path(folder) / f"{_NAME}.key").absolute(),
            beacon_key_file=beacon_key_file,
            passkey=passkey,
            guarded=guarded,
            link=link,
            interval_s=interval_s,
            battery_pct=battery_pct,
            seed=seed,
            as_json=as_json,
        )
        try:
            asyncio.run(_run(options))
        except (RigError, OSError) as exc:
            click.echo(f"tagrig emulate: {exc}", err=True)
            sys.exit(ExitCode.BENCH_BROKEN)


async def _run(options: _Options) -> None:
    say = Speaker(as_json=options.as_json)
    async with contextlib.AsyncExitStack() as stack:
        tag, bus = await _switch_on(options, stack, say)
        info = TagInfo(
            name=_NAME,
            kind="smart_tag",
            address=tag.peripheral.address,
            target=target_of(options.key_file, options.passkey),
        )
        say(AirReady(bus=bus, tags=[info]))
        if options.link is not None:
            assert tag.smp is not None
            port = SmpSerialPort(tag.smp, options.link, on_action=_reboot(tag, asyncio.get_running_loop()))
            stack.callback(port.close)
            say(CommandDone(line="link", detail=f"firmware is taken on serial:{port.name}"))
        actions = victim_actions(tag)

        async def obey(line: str) -> None:
            verb, *rest = line.split()
            try:
                if verb not in actions:
                    raise CommandError(f"{verb!r} is no command. Expected one of: {', '.join(actions)}, quit")
                detail = await actions[verb](rest)
            except CommandError as exc:
                say(CommandRefused(line=line, detail=str(exc)))
            else:
                say(CommandDone(line=line, detail=detail))

        await follow_lines(obey)


def _reboot(tag: VictimTag, loop: asyncio.AbstractEventLoop) -> Callable[[SmpAction], None]:
    def ask(_action: SmpAction) -> None:
        loop.call_soon_threadsafe(tag.ask_reboot)

    return ask


async def _switch_on(
    options: _Options, stack: contextlib.AsyncExitStack, say: Callable[[AirWord], None]
) -> tuple[VictimTag, str | None]:
    """Put the tag on its radio; returns it, and the bus behind which an emulated one is found."""
    clock = SystemClock()
    seed = 1 if options.seed is None else options.seed
    config = SmartTagConfig(
        seed=seed,
        start_utc_ns=clock.utc_ns(),
        tag_key=key_at(options.key_file, seed=options.seed),
        beacon_key=None if options.beacon_key_file is None else read_key(options.beacon_key_file),
        battery_pct=options.battery_pct,
    )
    if options.passkey is not None:
        write_secret(options.key_file.with_suffix(".passkey"), f"{options.passkey:06d}")

    def make(port: Air | HciPort) -> VictimTag:
        return VictimTag(
            port,
            name=_NAME,
            firmware=SmartTagFirmware(config),
            clock=clock,
            interval_s=options.interval_s,
            seed=seed,
            passkey=options.passkey,
            guarded=options.guarded,
            smp=make_server(FIRST_VERSION),
            on_change=lambda change: say(word_of(change)),
        )

    if options.transport is None:
        bench = await stack.enter_async_context(BleBench(seed=seed))
        return await bench.add(make(bench.air)), bench.bus_address
    port = await open_hci_port(options.transport)
    stack.push_async_callback(port.close)
    tag = make(port)
    await tag.start()
    stack.push_async_callback(tag.stop)
    return tag, None
