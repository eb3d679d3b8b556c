"""``tagrig emulate``: a device that any program can open."""

import contextlib
import importlib
import json
import math
import random
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import ClassVar, NoReturn

import click

from devices.clock import SystemClock
from rig.ble.firmware.images import ImageVersion
from rig.ble.firmware.smp import SmpConsole, make_server
from rig.cli.exit_codes import ExitCode
from rig.cli.stop_signals import STOP_SIGNALS
from rig.emulator.clock import SEEDED_START_UTC_NS, TagClock, format_utc, parse_utc
from rig.emulator.events import DeviceAction, EventKind, in_order, parse_event
from rig.emulator.firmware import MAX_INTERVAL_S, MIN_INTERVAL_S, AnkleTagFirmware, TagConfig
from rig.emulator.profiles import DEFAULT_PROFILE, PROFILES
from rig.emulator.pty_port import PtyPort
from rig.emulator.runner import RunLimits, TagRunner
from rig.emulator.track import Track, default_track, read_track
from rig.errors import EventError, PseudoTerminalError, RigError, ScenarioError, TrackError
from rig.local_frame import LocalFrame
from rig.scenario import load_scenario
from rig.truth.log import TruthLog
from rig.truth.records import TruthHeader

MADE_UP_PLACE = LocalFrame(51.0, -6.5)
"""Origin of the default track: open water in the Celtic Sea, nobody's address."""

FIRST_VERSION = ImageVersion(major=1, minor=0, revision=0)
"""What the ankle tag runs before anything is flashed; its status sentence calls it emu-1.0."""


class SpeedType(click.ParamType[float]):
    """``x10``, ``10`` or ``max``."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds of tag time per second; infinity for ``max``."""
        if isinstance(value, float):
            return value
        text = str(value)
        if text == "max":
            return math.inf
        try:
            speed = float(text.removeprefix("x"))
        except ValueError:
            speed = math.nan
        if not 0 < speed < math.inf:
            self.fail(f"{text!r} is no speed. Expected a factor such as x10, or max", param, ctx)
        return speed


class _LazyGroup(click.Group):
    """Imports the Bluetooth devices only when they are asked for: an ankle tag must not load a Bluetooth stack."""

    _lazy: ClassVar = {"victim": "rig.cli.emulate_victim", "air": "rig.cli.emulate_air"}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self._lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        found = importlib.import_module(self._lazy[cmd_name]).command
        assert isinstance(found, click.Command)
        return found


@click.group(cls=_LazyGroup)
def command() -> None:
    """Emulate a device that any program can open."""


@command.command()
@click.option("--link", type=click.Path(path_type=Path), help="Make this symbolic link to the port; a stable name.")
@click.option("--track", "track_file", type=click.Path(path_type=Path, exists=True), help="GeoJSON LineString to walk.")
@click.option(
    "--scenario", "scenario_file", type=click.Path(path_type=Path, exists=True), help="Scenario to take part in."
)
@click.option(
    "--device", "device_id", default="tag-1", show_default=True, help="Device id; picks the scenario's person."
)
@click.option("--seed", type=int, help="Fixes all randomness and the tag's start time: same seed, same bytes.")
@click.option("--profile", type=click.Choice(list(PROFILES)), help=f"Surroundings of the receiver. [{DEFAULT_PROFILE}]")
@click.option(
    "--rate-hz", type=click.FloatRange(1 / MAX_INTERVAL_S, 1 / MIN_INTERVAL_S), help="Reports per second. [1]"
)
@click.option("--battery-pct", type=click.FloatRange(1, 100), help="Battery at the start. [83]")
@click.option("--speed", type=SpeedType(), default="x1", show_default=True, help="Tag time per real time: x10, or max.")
@click.option("--baud", type=click.IntRange(min=300), help="Sentences take their time on the wire, as on a UART.")
@click.option("--duration-s", type=click.FloatRange(min=0, min_open=True), help="End after so much tag time. [never]")
@click.option(
    "--start-utc", help="The tag's clock at the start: RFC 3339, or now. [now; with --seed 2026-01-01T12:00Z]"
)
@click.option("--event", "events", multiple=True, metavar="NAME[=VALUE]@S[+S]", help="As strap_cut@45; --list-events.")
@click.option("--list-events", is_flag=True, help="Print all events and end.")
@click.option("--truth", "truth_file", type=click.Path(path_type=Path), help="Write true positions and write stamps.")
@click.option("--wait-for-open", is_flag=True, help="Start the tag's time when a program opens the port.")
@click.option("--hold", is_flag=True, help="Start the tag's time when a line comes on standard input: go [MONO_NS].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: ready, started, ended.")
def ankle(
    link: Path | None,
    track_file: Path | None,
    scenario_file: Path | None,
    device_id: str,
    seed: int | None,
    profile: str | None,
    rate_hz: float | None,
    battery_pct: float | None,
    speed: float,
    baud: int | None,
    duration_s: float | None,
    start_utc: str | None,
    events: tuple[str, ...],
    list_events: bool,
    truth_file: Path | None,
    wait_for_open: bool,
    hold: bool,
    as_json: bool,
) -> None:
    """Emulate an ankle tag on a pseudo-terminal: NMEA, status, downlink commands, firmware over SMP.

    Without a track it walks round a square of 200 m on open water (the Celtic Sea: a made-up place, nobody's address).
    --speed max waits for a reader, and lets it set the pace.
    """
    if list_events:
        for kind in EventKind:
            click.echo(kind.value)
        return
    try:
        start_utc_ns = _start_utc_ns(start_utc, seed is not None)
        chosen_seed = random.SystemRandom().getrandbits(31) if seed is None else seed
        track, actions, config, until_s = _who(
            scenario_file, track_file, device_id, chosen_seed, start_utc_ns, profile, rate_hz, battery_pct
        )
        actions = in_order([*actions, *(action for text in events for action in parse_event(text))])
        port = PtyPort(link)
    except (TrackError, EventError, ScenarioError, ValueError) as exc:
        _refuse(exc, ExitCode.USAGE)
    except PseudoTerminalError as exc:
        _refuse(exc, ExitCode.BENCH_BROKEN)
    limits = RunLimits(duration_s=until_s if duration_s is None else duration_s, baud=baud)
    with contextlib.closing(port), _open_truth(truth_file) as log:
        if as_json:
            ready = {"event": "ready", "port": port.path, "name": port.name, "device": device_id, "seed": config.seed}
            click.echo(json.dumps(ready))
        else:
            click.echo(f"Emulated ankle tag {device_id} on {port.name} (seed {config.seed}, {config.profile}).")
            click.echo(f"Open it with:  tio {port.name}   or   screen {port.name} 115200   or   cat {port.name}")
            click.echo("Ctrl-C ends it.")
        start_mono_ns = _held() if hold else None
        _run(port, track, actions, config, limits, speed, device_id, log, wait_for_open, start_mono_ns, as_json)


def _open_truth(path: Path | None) -> TruthLog:
    try:
        return TruthLog(path)
    except OSError as exc:
        _refuse(RigError(f"--truth {path}: cannot be written: {exc.strerror}"), ExitCode.USAGE)


def _refuse(exc: Exception, code: ExitCode) -> NoReturn:
    click.echo(f"tagrig emulate: {exc}", err=True)
    sys.exit(code)


def _held() -> int:
    """Wait for ``go``; an absolute start lets several tags begin as one. The end of the input ends the program."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.OK))
    words = sys.stdin.readline().split()
    if not words or words[0] != "go" or not all(word.isdecimal() for word in words[1:]):
        sys.exit(ExitCode.OK if not words else ExitCode.USAGE)
    return int(words[1]) if len(words) > 1 else SystemClock().mono_ns()


def _start_utc_ns(text: str | None, seeded: bool) -> int:
    if text == "now" or (text is None and not seeded):
        # whole seconds, as a receiver aligns its epochs
        return SystemClock().utc_ns() // 1_000_000_000 * 1_000_000_000
    return SEEDED_START_UTC_NS if text is None else parse_utc(text)


def _who(
    scenario_file: Path | None,
    track_file: Path | None,
    device_id: str,
    seed: int,
    start_utc_ns: int,
    profile: str | None,
    rate_hz: float | None,
    battery_pct: float | None,
) -> tuple[Track, tuple[DeviceAction, ...], TagConfig, float]:
    """Where the tag goes, what happens to it, how it is set up, and when its story ends."""
    interval_s = None if rate_hz is None else 1 / rate_hz
    if scenario_file is None:
        config = TagConfig(
            seed=seed,
            interval_s=interval_s or 1.0,
            profile=profile or DEFAULT_PROFILE,
            battery_pct=battery_pct or 83.0,
            start_utc_ns=start_utc_ns,
        )
        track = default_track(MADE_UP_PLACE) if track_file is None else read_track(track_file)
        return track, (), config, math.inf
    if track_file is not None:
        raise ScenarioError("--track and --scenario both say where to walk. Expected one of them")
    scenario = load_scenario(scenario_file)
    person = scenario.find_person(device_id)
    if person is None:
        known = ", ".join(p.device for p in scenario.person)
        raise ScenarioError(f"{scenario_file}: no person carries device {device_id!r}. Expected --device {known}")
    config = TagConfig(
        seed=seed,
        interval_s=interval_s or person.interval_s,
        profile=profile or person.profile,
        battery_pct=battery_pct or person.battery_pct,
        start_utc_ns=start_utc_ns,
    )
    return scenario.track(person), scenario.actions(person), config, scenario.duration_s


def _run(
    port: PtyPort,
    track: Track,
    actions: tuple[DeviceAction, ...],
    config: TagConfig,
    limits: RunLimits,
    speed: float,
    device_id: str,
    log: TruthLog,
    wait_for_open: bool,
    start_mono_ns: int | None,
    as_json: bool,
) -> None:
    clock = SystemClock()
    stopped = False
    runner: TagRunner | None = None

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        if runner is not None:
            runner.stop()

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    if (wait_for_open or math.isinf(speed)) and not port.wait_for_open(lambda: stopped):
        return
    tag_clock = TagClock(start_utc_ns=config.start_utc_ns, start_mono_ns=start_mono_ns or clock.mono_ns(), speed=speed)
    log.write(
        TruthHeader(
            version=1,
            device_id=device_id,
            seed=config.seed,
            profile=config.profile,
            start_utc_ns=tag_clock.start_utc_ns,
            start_mono_ns=tag_clock.start_mono_ns,
            speed=None if math.isinf(speed) else speed,
            interval_s=config.interval_s,
            origin_lat_deg=track.frame.lat_deg,
            origin_lon_deg=track.frame.lon_deg,
        )
    )
    if as_json:
        started = {
            "event": "started",
            "start_mono_ns": tag_clock.start_mono_ns,
            "start_utc": format_utc(tag_clock.start_utc_ns),
        }
        click.echo(json.dumps(started))
    firmware = AnkleTagFirmware(config, track, actions)
    server = make_server(FIRST_VERSION)
    console = SmpConsole(server, lambda version: firmware.restart(f"emu-{version}"))
    runner = TagRunner(firmware, tag_clock, port, clock, log.write, limits, console)
    if stopped:
        runner.stop()
    end = runner.run()
    port.drain()
    if as_json:
        click.echo(
            json.dumps(
                {
                    "event": "ended",
                    "t_s": end.t_s,
                    "epochs": end.epochs,
                    "bytes_written": end.bytes_written,
                    "bytes_lost": end.bytes_lost,
                    "bytes_unheard": end.bytes_unheard,
                }
            )
        )
    else:
        click.echo(
            f"Ended after {end.t_s:.0f} s of tag time: {end.epochs} epochs, {end.bytes_written} bytes written, "
            f"{end.bytes_lost} lost (reader too slow), {end.bytes_unheard} unheard (port closed)."
        )
