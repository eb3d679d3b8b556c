"""``tagrig faults``: the catalogue of what can go wrong on the bench."""

import sys

import click
import msgspec

from rig.cli.exit_codes import ExitCode
from rig.errors import FaultError
from rig.faults.catalogue import CATALOGUE, find_entry
from rig.faults.entry import FaultEntry, Parameter, Target


@click.command(epilog="Exit codes: 0 ok, 2 there is no such fault.")
@click.argument("names", nargs=-1, metavar="[LAYER|ID]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per fault and line.")
def command(names: tuple[str, ...], as_json: bool) -> None:
    """List the faults that a scenario may name, with their parameters and what each owes.

    A LAYER is serial, gnss, ble, broker, clock, device or host; none: all.
    """
    try:
        entries = _chosen(names)
    except FaultError as exc:
        click.echo(f"tagrig: {exc}", err=True)
        sys.exit(ExitCode.USAGE)
    for entry in entries:
        click.echo(msgspec.json.encode(_object(entry)) if as_json else _text(entry))


def _chosen(names: tuple[str, ...]) -> list[FaultEntry]:
    if not names:
        return list(CATALOGUE.values())
    chosen: list[FaultEntry] = []
    for name in names:
        of_layer = [entry for entry in CATALOGUE.values() if entry.layer.value == name]
        chosen += of_layer or [find_entry(name)]
    return chosen


def _object(entry: FaultEntry) -> dict[str, object]:
    expect = entry.expect
    return {
        "id": entry.id,
        "layer": entry.layer.value,
        "what": entry.what,
        "outcome": entry.outcome,
        "device": entry.target.value,
        "lasting": entry.lasting,
        "needs": entry.needs,
        "paces": sorted(pace.value for pace in entry.paces),
        "parameters": [
            {"name": p.name, "default": p.default, "unit": p.unit, "expected": _range(p), "about": p.about}
            for p in entry.parameters
        ],
        "owed": [kind.value for kind in expect.owed],
        "owed_after": expect.owed_after,
        "allowed": [kind.value for kind in expect.allowed],
        "fixes": expect.fixes.value,
        "arrival": expect.arrival.value,
    }


def _text(entry: FaultEntry) -> str:
    lines = [f"{entry.id}: {entry.what}"]
    on = "" if entry.target is Target.NOTHING else f"; device: {entry.target.value}"
    when = "" if entry.lasting else "; happens once"
    paces = " and ".join(sorted(pace.value for pace in entry.paces))
    needs = f"; needs {entry.needs}" if entry.needs else ""
    lines.append(f"    {paces} pace{on}{when}{needs}")
    lines += [
        f"    {p.name} = {msgspec.json.encode(p.default).decode()} ({_range(p)}): {p.about}" for p in entry.parameters
    ]
    lines.append(f"    -> {entry.outcome}")
    return "\n".join(lines)


def _range(parameter: Parameter) -> str:
    if parameter.choices:
        return " | ".join(parameter.choices)
    return parameter.range_text.removeprefix(" from ") or "true | false"
