"""``tagrig bench``: check a bench file and its devices, list leases, switch power, flash."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from devices.clock import SystemClock
from rig.bench.errors import BenchFileError, FlashError, RoleAbsentError
from rig.bench.lease import is_held, lease_folder, list_leases
from rig.bench.load import load_bench
from rig.bench.opening import OpenBench
from rig.cli.exit_codes import ExitCode
from rig.errors import BenchBrokenError

_FILE = click.argument("bench_file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
_ROLE = click.argument("role", metavar="ROLE")


class RoleWord(msgspec.Struct, frozen=True, kw_only=True):
    """One device of ``tagrig bench check --json``."""

    role: str
    of: str
    type: str
    kind: str
    transport: str
    features: list[str]
    expect_firmware: str | None
    firmware: str | None


class BenchWord(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of ``tagrig bench check --json``."""

    name: str
    kind: str
    features: list[str]
    devices: list[RoleWord]
    broker: str


class LeaseWord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``tagrig bench leases --json``."""

    resource: str
    owner: str
    pid: int
    host: str
    held: bool


@click.group()
def command() -> None:
    """Check a bench file, and use the hardware that it names."""


@command.command()
@_FILE
@click.option("--open/--no-open", "opens", default=True, help="Also lease the devices and read their firmware.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(bench_file: Path, opens: bool, as_json: bool) -> None:
    """Read a bench file, reach its devices, compare their firmware.

    Exit codes: 0 all as expected, 2 the file is wrong, 3 a device is missing, busy, or runs other firmware.
    """
    with _told():
        file = load_bench(bench_file)
        bench = OpenBench(file, folder=bench_file.parent)
        if opens:
            with bench:
                firmware = dict(bench.firmware)
        else:
            firmware = {}
    rows = [
        RoleWord(
            role=role,
            of=table.of or role,
            type=table.type,
            kind=table.kind,
            transport=table.transport,
            features=sorted(table.has),
            expect_firmware=table.expect_firmware,
            firmware=firmware.get(role),
        )
        for role, table in file.devices.items()
    ]
    if as_json:
        word = BenchWord(
            name=file.bench.name, kind=file.kind, features=sorted(file.features), devices=rows, broker=file.broker.kind
        )
        click.echo(msgspec.json.encode(word).decode())
        return
    click.echo(f"bench {file.bench.name}: {file.kind}; a broker for each run ({file.broker.kind})")
    for row in rows:
        runs = f", firmware {row.firmware}" if row.firmware else ""
        click.echo(f"  {row.role:18s} {row.kind:9s} {row.type:14s} {row.transport}{runs}")
    if file.bench.emulate_missing:
        click.echo("  every other role is emulated")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def leases(as_json: bool) -> None:
    """List who uses which hardware of this machine."""
    clock = SystemClock()
    found = list_leases()
    for lease in found:
        held = is_held(lease, clock)
        if as_json:
            word = LeaseWord(resource=lease.resource, owner=lease.owner, pid=lease.pid, host=lease.host, held=held)
            click.echo(msgspec.json.encode(word).decode())
        else:
            state = "in use by" if held else "free, last used by"
            click.echo(f"{lease.resource}  {state} {lease.owner}, process {lease.pid} on {lease.host}")
    if not found and not as_json:
        click.echo(f"no leases in {lease_folder()}")


@command.command()
@_FILE
@_ROLE
@click.argument("what", type=click.Choice(["on", "off", "cycle"]))
def power(bench_file: Path, role: str, what: str) -> None:
    """Switch a device of the bench; "cycle" waits until its port is there again.

    A modem line and an emulated tag keep their state only while this command runs: use them with "cycle".
    """
    with _told():
        bench = OpenBench(load_bench(bench_file), folder=bench_file.parent)
        bench.open(check=False)
        try:
            if what == "cycle":
                click.echo(f"{role}: back {bench.power_cycle(role):.1f} s after it was given power")
                return
            switch = bench.power(role)
            asyncio.run(switch.on() if what == "on" else switch.off())
            click.echo(f"{role}: {what}")
        finally:
            bench.close()


@command.command()
@_FILE
@_ROLE
def flash(bench_file: Path, role: str) -> None:
    """Flash a device as the bench file says, and check the version that runs then.

    Exit codes: 0 done, 1 not flashed or another version runs, 2 usage, 3 the device is missing or busy.
    """
    with _told():
        bench = OpenBench(load_bench(bench_file), folder=bench_file.parent)
        bench.open(check=False)
        try:
            click.echo(f"{role}: runs {bench.flash(role)}")
        finally:
            bench.close()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (BenchFileError, RoleAbsentError) as exc:
        _end(str(exc), ExitCode.USAGE, exc)
    except FlashError as exc:
        _end(str(exc), ExitCode.VERDICT_FAIL, exc)
    except BenchBrokenError as exc:
        _end(str(exc), ExitCode.BENCH_BROKEN, exc)


def _end(text: str, code: ExitCode, cause: Exception) -> NoReturn:
    click.echo(f"tagrig bench: {text}", err=True)
    raise SystemExit(code) from cause
