"""``tagrig emulate air``: emulated Bluetooth tags behind an emulated Bluetooth service, driven by lines."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from devices.clock import SystemClock
from rig.ble.path_loss import DEFAULT_RADIO_PROFILE, RADIO_PROFILES
from rig.ble.session import FAR_M, AirPlan, EmulatedAir
from rig.ble.session_words import HELP, AirReady, AirWord, CommandDone, CommandRefused
from rig.cli.emulate_lines import follow_lines
from rig.cli.exit_codes import ExitCode
from rig.errors import RigError, ScenarioError
from rig.scenario import load_scenario

TAGS_MAX = 200
"""Tags that one process carries: adverts of 200 take a core (40 % of one for 100 at ten a second)."""


@click.command(epilog=HELP)
@click.option("--tags", type=click.IntRange(0, TAGS_MAX), default=1, show_default=True, help="Smart tags.")
@click.option("--find-me", type=click.IntRange(0, TAGS_MAX), default=0, show_default=True, help="Find Me tags.")
@click.option("--beacon", is_flag=True, help=f"A wearer's beacon, {FAR_M:g} m away until told otherwise.")
@click.option(
    "--scenario",
    "scenario_file",
    type=click.Path(path_type=Path, exists=True),
    help="Smart tags and wearers of a scenario, at its true distances.",
)
@click.option("--speed", type=click.FloatRange(0.1, 20), default=1.0, show_default=True, help="Of the scenario's time.")
@click.option("--keys", type=click.Path(path_type=Path, file_okay=False), help="Folder of key files. [one for the run]")
@click.option("--seed", type=int, help="Fixes keys, addresses and the radio.")
@click.option(
    "--interval-s", type=click.FloatRange(0.02, 10.24), default=0.25, show_default=True, help="Advertising interval."
)
@click.option(
    "--profile",
    type=click.Choice(list(RADIO_PROFILES)),
    default=DEFAULT_RADIO_PROFILE,
    show_default=True,
    help="Surroundings of the path from the beacon.",
)
@click.option("--passkey", type=click.IntRange(0, 999_999), help="Six digits on every label: pairing asks for them.")
@click.option("--guarded", is_flag=True, help="Smart tags answer bonded peers only; needs --passkey.")
@click.option("--capture", type=click.Path(path_type=Path, file_okay=False), help="Folder for btsnoop captures.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: ready, change, done, refused.")
def command(
    tags: int,
    find_me: int,
    beacon: bool,
    scenario_file: Path | None,
    speed: float,
    keys: Path | None,
    seed: int | None,
    interval_s: float,
    profile: str,
    passkey: int | None,
    guarded: bool,
    capture: Path | None,
    as_json: bool,
) -> None:
    """Emulate Bluetooth tags for any program that uses BlueZ.

    Prints what DBUS_SYSTEM_BUS_ADDRESS must be; a program that has it in its environment scans, connects and pairs as
    on a real adapter. Lines on standard input are commands; their end is not the end of the tags.
    """
    if guarded and passkey is None:
        raise click.UsageError("--guarded: a bond with a passkey needs one. Next: add --passkey 123456")
    if tags + find_me == 0:
        raise click.UsageError("there is no tag to emulate. Next: --tags 1, or --find-me 1")
    try:
        scenario = None if scenario_file is None else load_scenario(scenario_file)
    except ScenarioError as exc:
        raise click.UsageError(str(exc)) from exc
    if scenario is not None and not any(person.smart_tag for person in scenario.person):
        raise click.UsageError(f"--scenario {scenario_file}: nobody in it carries a smart tag")
    with _key_folder(keys) as folder:
        plan = AirPlan(
            tags=tags,
            find_me=find_me,
            beacon=beacon,
            keys=folder,
            seed=seed,
            interval_s=interval_s,
            radio_profile=profile,
            passkey=passkey,
            guarded=guarded,
            capture=capture,
            scenario=scenario,
            speed=speed,
        )
        try:
            asyncio.run(_run(plan, as_json))
        except (RigError, OSError) as exc:
            click.echo(f"tagrig emulate: {exc}", err=True)
            sys.exit(ExitCode.BENCH_BROKEN)


@contextlib.contextmanager
def _key_folder(keys: Path | None) -> Iterator[Path]:
    if keys is not None:
        yield keys.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="tagrig-keys-") as folder:
        yield Path(folder)


async def _run(plan: AirPlan, as_json: bool) -> None:
    async with EmulatedAir(plan, SystemClock(), Speaker(as_json=as_json)) as air:
        await follow_lines(air.obey)


class Speaker:
    """Prints words; the first is always the one that says that the tags are there."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._early: list[AirWord] | None = []

    def __call__(self, word: AirWord) -> None:
        """Print a word, or keep it until the first one was printed."""
        if self._early is not None:
            if not isinstance(word, AirReady):
                self._early.append(word)
                return
            early, self._early = self._early, None
            for each in (word, *early):
                self._print(each)
            return
        self._print(word)

    def _print(self, word: AirWord) -> None:
        click.echo(msgspec.json.encode(word).decode() if self._as_json else text_of(word))


def text_of(word: AirWord) -> str:
    """Put a word as a person reads it."""
    match word:
        case AirReady():
            lines = [f"{tag.name}: {tag.kind} at {tag.address}\n  target  {tag.target}" for tag in word.tags]
            if word.beacon_key_file is not None:
                lines.append(f"beacon\n  key     {word.beacon_key_file}")
            if word.bus is not None:
                lines.append(f"export DBUS_SYSTEM_BUS_ADDRESS={word.bus}")
            lines.append("Ctrl-C ends it; help lists the commands.")
            return "\n".join(lines)
        case CommandDone():
            return f"ok  {word.detail}".rstrip()
        case CommandRefused():
            return f"no  {word.detail}"
        case _:
            felt = "" if word.felt is None else f"; felt: {word.felt}" + (f" ({word.pattern})" if word.pattern else "")
            return (
                f"{word.t_s:9.3f}  {word.tag}: {word.mode}, level {word.level}, battery {word.battery_pct} %, "
                f"{'connected' if word.connected else 'not connected'}{felt}"
            )
