"""``tagrig disturb``: a real port with faults, on a pseudo-terminal that any program can open in its place."""

import asyncio
import re
import sys
from pathlib import Path

import click

from devices.clock import SystemClock
from devices.errors import TransportError, TransportSpecError
from rig.cli.exit_codes import ExitCode
from rig.cli.stop_signals import STOP_SIGNALS
from rig.errors import FaultError, RigError
from rig.faults.apply import begin
from rig.faults.catalogue import PlannedFault, find_entry, plan_fault
from rig.faults.entry import Layer, Value
from rig.faults.line import LineFaults
from rig.faults.line_bench import LineBench
from rig.faults.proxy import FaultProxy

DEVICE = "device"

_FAULT = re.compile(r"(?P<id>[\w.]+)@(?P<at>[^+,]+)(?:\+(?P<lasts>[^,]+))?(?P<options>(?:,[^,]+)*)")


@click.command(epilog="Exit codes: 0 ended in order, 2 usage, 3 the port cannot be used.")
@click.argument("port", metavar="PORT")
@click.option("--link", type=click.Path(path_type=Path), required=True, help="Where the disturbed port is found.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    required=True,
    metavar="ID@AT[+LASTS][,NAME=VALUE]...",
    help="A fault of the layers serial and gnss, times in seconds.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Fixes where damage falls.")
@click.option("--duration-s", type=click.FloatRange(min=0, min_open=True), help="Ends by itself after so long.")
def command(port: str, link: Path, faults: tuple[str, ...], seed: int, duration_s: float | None) -> None:
    """Pass a device's line through faults.

    PORT is a transport as in a configuration, such as serial:by-serial=FT9XQ2LB?baud=9600. Open the link in its
    place: transport = "pty:LINK?flush=yes". `tagrig faults serial gnss` lists what there is.
    """
    try:
        planned = [parse_fault(text, number, seed) for number, text in enumerate(faults)]
    except FaultError as exc:
        raise click.UsageError(str(exc)) from exc
    try:
        asyncio.run(_run(port, link, planned, duration_s))
    except TransportSpecError as exc:
        raise click.UsageError(str(exc)) from exc
    except (TransportError, RigError) as exc:
        click.echo(f"tagrig: {exc}", err=True)
        sys.exit(ExitCode.BENCH_BROKEN)


def parse_fault(text: str, number: int = 0, seed: int = 1) -> PlannedFault:
    """Read ``serial.bit_flip@10+20,flips_per_kb=3``.

    Raises
    ------
    FaultError
        It is not understood, not of a line, or not possible.
    """
    match = _FAULT.fullmatch(text.strip())
    if match is None:
        raise FaultError(f"fault {text!r} is not understood. Expected ID@AT[+LASTS][,NAME=VALUE]..., times in seconds")
    entry = find_entry(match["id"])
    if entry.layer not in {Layer.SERIAL, Layer.GNSS}:
        raise FaultError(f"fault {text!r} acts on the {entry.layer}; expected one of serial or gnss")
    defaults = {each.name: each.default for each in entry.parameters}
    options: dict[str, Value] = {}
    for part in filter(None, match["options"].split(",")):
        name, _, value = part.partition("=")
        options[name] = value if isinstance(defaults.get(name, 0.0), str) else _number(value, text)
    return plan_fault(
        entry.id,
        at_s=_number(match["at"], text),
        lasts_s=None if match["lasts"] is None else _number(match["lasts"], text),
        device=DEVICE,
        parameters=options,
        number=number,
        seed=seed,
    )


def _number(text: str, whole: str) -> float:
    try:
        return float(text.removesuffix("s"))
    except ValueError:
        raise FaultError(f"fault {whole!r}: {text!r} is no number") from None


async def _run(port: str, link: Path, planned: list[PlannedFault], duration_s: float | None) -> None:
    loop, clock, line = asyncio.get_running_loop(), SystemClock(), LineFaults()
    asked = asyncio.Event()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, asked.set)
    try:
        async with FaultProxy(port, link=link, faults=line, clock=clock) as proxy:
            click.echo(f"{proxy.spec} passes {port} on; Ctrl-C ends it")
            bench = LineBench({DEVICE: line}, clock)
            start_ns = clock.mono_ns()
            playing = [asyncio.create_task(_play(bench, fault, start_ns)) for fault in planned]
            try:
                async with asyncio.timeout(duration_s):
                    await asked.wait()
            except TimeoutError:
                pass
            finally:
                for task in playing:
                    task.cancel()
                results = await asyncio.gather(*playing, return_exceptions=True)
            for result in results:
                if isinstance(result, RigError):
                    raise result
            lost = f", {proxy.bytes_lost} bytes that nobody read" if proxy.bytes_lost else ""
            click.echo(f"{line.up.bytes_in} bytes came, {line.up.bytes_out} went on{lost}")
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


async def _play(bench: LineBench, fault: PlannedFault, start_ns: int) -> None:
    await bench.sleep_until(start_ns + round(fault.at_s * 1e9))
    end = await begin(bench, fault)
    click.echo(f"{fault.at_s:g} s: {fault.id} begins: {fault.entry.what}")
    if end is not None and fault.end_s is not None:
        await bench.sleep_until(start_ns + round(fault.end_s * 1e9))
        await end()
        click.echo(f"{fault.end_s:g} s: {fault.id} ends")
