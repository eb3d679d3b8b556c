"""``tagrig scan``: which ports there are and what speaks on them, and which Bluetooth tags are in range."""

import asyncio
import socket
import sys
from pathlib import Path

import click
import msgspec

from devices.baud_watch import COMMON_BAUDS
from devices.ble_scan import BleScanResult, TagKind, scan_tags
from devices.bleak_door import BleRadio
from devices.clock import Clock, SystemClock
from devices.errors import TransportSpecError
from devices.inventory import PortInfo, list_ports, stable_target
from devices.probe import ProbeResult, Speaks, has_open_baud, probe, spec_of
from devices.transports import SCHEMES, open_transport
from devices.transports.spec import BAUD_MAX, SERIAL_BAUD_DEFAULT
from rig.cli.exit_codes import ExitCode

PROGRESS_OVER_S = 2.0
"""Seconds. A scan that may take longer shows its progress, from the first second on."""
PROGRESS_EVERY_S = 10.0
"""Seconds between progress lines where they cannot overwrite each other (a log file)."""
_NOTHING = (
    "No serial ports found. Next: plug a device in; or name one: tagrig scan /dev/ttyUSB0, "
    "or a remote one: tagrig scan socket://host:port"
)


class UsbIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What a USB device says it is."""

    vid: str
    pid: str
    serial_number: str | None
    manufacturer: str | None
    product: str | None
    location: str | None


class ScanRow(msgspec.Struct, frozen=True, kw_only=True):
    """One port of ``tagrig scan --json``; ``spec`` goes into the configuration."""

    path: str
    spec: str
    speaks: Speaks
    baud: int | None
    firmware: str | None
    talkers: tuple[str, ...]
    n_sentences: int
    n_bytes: int
    detail: str
    description: str | None
    usb: UsbIdentity | None


class ScanReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of ``tagrig scan --json``; ``bluetooth`` is null where it was not asked for."""

    ports: list[ScanRow]
    bluetooth: BleScanResult | None


@click.command(epilog=f"Schemes of a SPEC: {', '.join(SCHEMES)} (devices/README.md).")
@click.argument("paths", nargs=-1, metavar="[PATH|SPEC]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--listen-s",
    type=click.FloatRange(0.1, 60),
    default=2.0,
    show_default=True,
    help="Seconds to listen at each baud rate.",
)
@click.option(
    "--baud",
    "bauds",
    type=click.IntRange(50, BAUD_MAX),
    multiple=True,
    help=f"Baud rate to try; may be repeated. [default: {', '.join(map(str, COMMON_BAUDS))}]",
)
@click.option("--adapter", metavar="hciN", help="Bluetooth adapter. [default: the first that is switched on]")
@click.option("--bluetooth/--no-bluetooth", default=None, help="Also look for tags. [default: where no PATH is given]")
@click.option(
    "--write",
    "bench_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a first bench file of what was found; refused where FILE exists.",
)
def command(
    paths: tuple[str, ...],
    as_json: bool,
    listen_s: float,
    bauds: tuple[int, ...],
    adapter: str | None,
    bluetooth: bool | None,
    bench_file: Path | None,
) -> None:
    """List serial ports with what speaks on them, and Bluetooth tags in range.

    Without arguments all serial ports of this machine are listened to. A PATH may be a pseudo-terminal too; a SPEC is
    any specification string, such as socket://host:port. Nothing is sent, but opening a port raises its DTR line,
    which restarts some boards. Of Bluetooth tags the advertisements are heard; nothing is connected to.

    Exit codes: 0 scanned, 2 usage, 3 a port or an adapter that was named could not be opened.
    """
    try:
        for path in paths:
            open_transport(spec_of(path))
    except TransportSpecError as exc:
        raise click.UsageError(str(exc)) from exc
    if bench_file is not None and bench_file.exists():
        raise click.UsageError(f"{bench_file} exists, and is not overwritten. Next: another name, or remove it")
    known = list_ports()
    targets = list(paths) if paths else [port.path for port in known]
    rates = bauds or COMMON_BAUDS
    wants_tags = not paths if bluetooth is None else bluetooth
    rows, heard = asyncio.run(_scan_all(targets, known, rates, listen_s, adapter, wants_tags=wants_tags))
    if as_json:
        report = ScanReport(ports=rows, bluetooth=heard)
        click.echo(msgspec.json.encode(report).decode())
    else:
        parts = [_text(row) for row in rows] or [_NOTHING]
        if heard is not None:
            parts.append(_bluetooth_text(heard))
        click.echo("\n\n".join(parts))
    if bench_file is not None:
        _write_bench(bench_file, rows, heard)
    has_named_port_failed = bool(paths) and any(row.speaks is Speaks.UNAVAILABLE for row in rows)
    if has_named_port_failed or (adapter is not None and heard is not None and heard.problem is not None):
        sys.exit(ExitCode.BENCH_BROKEN)


def _write_bench(path: Path, rows: list[ScanRow], heard: BleScanResult | None) -> None:
    # loaded here: a scan without it needs nothing of the bench
    from rig.bench.from_scan import FoundPort, bench_from_scan
    from rig.bench.load import bench_toml

    ports = [
        FoundPort(
            spec=row.spec,
            speaks=row.speaks,
            firmware=row.firmware,
            notes=" ".join(filter(None, (row.usb.manufacturer, row.usb.product))) if row.usb else "",
        )
        for row in rows
    ]
    file = bench_from_scan(socket.gethostname(), ports, () if heard is None else heard.tags)
    about = (
        "Written by tagrig scan: who is who follows the order in which devices were found. Put the roles right.",
        "emulate_missing: roles of a scenario that stand nowhere here are emulated.",
    )
    try:
        with path.open("x", encoding="utf-8") as file_out:
            file_out.write(bench_toml(file, about=about))
    except OSError as exc:
        raise click.UsageError(f"{path}: cannot be written: {exc.strerror}. Next: another name") from exc
    roles = ", ".join(file.devices) or "no device was found; all roles are emulated"
    click.echo(f"{path}: {roles}. Next: tagrig bench check {path}", err=True)


async def _scan_all(
    targets: list[str],
    known: list[PortInfo],
    bauds: tuple[int, ...],
    listen_s: float,
    adapter: str | None,
    *,
    wants_tags: bool,
) -> tuple[list[ScanRow], BleScanResult | None]:
    """Listen to ports and radio side by side; a radio that cannot be used stops no port."""
    clock = SystemClock()
    ports = asyncio.create_task(_scan(targets, known, bauds, listen_s, clock))
    heard = None
    try:
        if wants_tags:
            async with BleRadio(clock) as radio:
                heard = await scan_tags(radio, adapter=adapter, listen_s=listen_s)
        return await ports, heard
    finally:
        ports.cancel()
        await asyncio.gather(ports, return_exceptions=True)


async def _scan(
    targets: list[str], known: list[PortInfo], bauds: tuple[int, ...], listen_s: float, clock: Clock
) -> list[ScanRow]:
    """Listen to all ports at once; each takes as long as its own baud rates need."""
    listen_ns = round(listen_s * 1e9)
    probes = [
        asyncio.create_task(probe(spec_of(target), clock=clock, listen_ns=listen_ns, bauds=bauds)) for target in targets
    ]
    if not probes:
        return []
    at_most_s = max(listen_s * (len(bauds) if has_open_baud(spec_of(target)) else 1) for target in targets)
    progress = asyncio.create_task(_show_progress(probes, clock, at_most_s))
    try:
        results = await asyncio.gather(*probes)
    finally:
        progress.cancel()
        await asyncio.gather(progress, *probes, return_exceptions=True)
    return [_row(target, result, known) for target, result in zip(targets, results, strict=True)]


async def _show_progress(probes: list["asyncio.Task[ProbeResult]"], clock: Clock, at_most_s: float) -> None:
    if at_most_s <= PROGRESS_OVER_S:
        return
    start_ns = clock.mono_ns()
    live = sys.stderr.isatty()
    waited_s = 1.0
    try:
        while True:
            await clock.sleep_until(start_ns + round(waited_s * 1e9))
            n_done = sum(task.done() for task in probes)
            line = f"listening: {n_done} of {len(probes)} ports done, {waited_s:.0f} of at most {at_most_s:.0f} s"
            click.echo(f"\r{line}" if live else line, err=True, nl=not live)
            waited_s += 1.0 if live else PROGRESS_EVERY_S
    finally:
        if live:
            click.echo("\r\x1b[K", err=True, nl=False)


def _row(target: str, result: ProbeResult, known: list[PortInfo]) -> ScanRow:
    port = next((port for port in known if port.path == target), None)
    spec = result.spec
    if port is not None:
        spec = f"serial:{stable_target(port, known)}?baud={result.baud or SERIAL_BAUD_DEFAULT}"
    usb = None
    if port is not None and port.vid is not None and port.pid is not None:
        usb = UsbIdentity(
            vid=f"{port.vid:04x}",
            pid=f"{port.pid:04x}",
            serial_number=port.serial_number,
            manufacturer=port.manufacturer,
            product=port.product,
            location=port.location,
        )
    return ScanRow(
        path=target,
        spec=spec,
        speaks=result.speaks,
        baud=result.baud,
        firmware=result.firmware,
        talkers=result.talkers,
        n_sentences=result.n_sentences,
        n_bytes=result.n_bytes,
        detail=result.detail,
        description=None if port is None else port.description,
        usb=usb,
    )


def _text(row: ScanRow) -> str:
    lines = [row.path]
    if row.usb is not None:
        name = " ".join(part for part in (row.usb.manufacturer, row.usb.product) if part)
        number = f", serial number {row.usb.serial_number}" if row.usb.serial_number else ""
        place = f", at {row.usb.location}" if row.usb.location else ""
        lines.append(f"  usb     {name or 'unnamed'} ({row.usb.vid}:{row.usb.pid}{number}{place})")
    elif row.description:
        lines.append(f"  port    {row.description}")
    heard = row.detail
    if row.n_sentences:
        at = f" at {row.baud} Bd" if row.baud else ""
        talkers = f", talkers {' '.join(row.talkers)}" if row.talkers else ""
        heard = f"{row.detail}: {row.n_sentences} sentences{at}{talkers}"
    lines.append(f"  speaks  {heard}")
    if row.speaks in (Speaks.TAG, Speaks.NMEA):
        lines.append(f'  use     transport = "{row.spec}"')
    return "\n".join(lines)


_KIND_TEXT = {
    TagKind.SMART_TAG: "smart tag",
    TagKind.BEACON: "wearer's beacon",
    TagKind.PROXIMITY: "Proximity tag (Immediate Alert, Link Loss)",
    TagKind.FIND_ME: "Find Me tag (Immediate Alert)",
    TagKind.LOCATION: "Location and Navigation receiver",
}


def _bluetooth_text(heard: BleScanResult) -> str:
    if heard.problem is not None:
        return f"Bluetooth not scanned: {heard.problem}. Next: switch an adapter on (bluetoothctl power on)"
    if not heard.tags:
        return f"Bluetooth: no tags in range, {heard.n_other} other devices"
    lines = [f"Bluetooth: {len(heard.tags)} tags in range, {heard.n_other} other devices"]
    for tag in heard.tags:
        strength = "no RSSI" if tag.rssi_dbm is None else f"{tag.rssi_dbm:g} dBm"
        if tag.rssi_dbm is not None and tag.rssi_low_dbm != tag.rssi_high_dbm:
            strength += f" ({tag.rssi_low_dbm} to {tag.rssi_high_dbm})"
        name = f" {tag.name!r}" if tag.name else ""
        lines.append(f"  {tag.address}  {strength}  {_KIND_TEXT[tag.kind]}{name}")
        if tag.spec is not None:
            lines.append(f'    use   transport = "{tag.spec}"')
    return "\n".join(lines)
