"""One run from a scenario to a folder: played at any pace, judged, reported."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rig.bench.load import bench_toml, emulated_bench
from rig.bench.recording import recorded_chunks
from rig.errors import RigError
from rig.play.real import play_real
from rig.play.settings import Planted, PlaySettings, Source
from rig.play.virtual import play_virtual
from rig.runs.folder import BENCH_FILE, SCENARIO_FILE, VERDICT_FILE, RunFile, speed_of
from rig.runs.load import LoadedRun, load_run
from rig.scenario import Scenario, resolve_text
from rig.truth.findings import RunVerdict, write_verdict
from rig.truth.run_verdict import judge_run

if TYPE_CHECKING:
    from rig.bench.opening import OpenBench
    from rig.play.stage import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun:
    """A run and what the truth says of it."""

    run: LoadedRun
    verdict: RunVerdict


def play(
    scenario: Scenario,
    settings: PlaySettings,
    *,
    pace: str = "virtual",
    bench: "OpenBench | None" = None,
    on_progress: "Progress | None" = None,
) -> RunFile:
    """Play a scenario; its folder then holds all but the verdict and the reports.

    Parameters
    ----------
    scenario : Scenario
    settings : PlaySettings
    pace : str
        ``virtual``, ``real`` or ``x`` and a number.
    bench : OpenBench, optional
        What stands for the devices; absent: emulated, or as the settings say.
    on_progress : callable, optional
        Told how far it is, seconds of the scenario.

    Raises
    ------
    BenchBrokenError
        The bench could not play.
    RigError
        The pace is none, or the scenario asks for what cannot be.
    """
    speed = speed_of(pace)
    if bench is not None:
        broker = bench.file.broker.kind if settings.broker == "auto" else settings.broker
        settings = replace(settings, sources=sources_of(bench, scenario) | dict(settings.sources), broker=broker)
    check_pace(pace, settings.planted, {device: source.kind for device, source in settings.sources.items()})
    (settings.folder / SCENARIO_FILE).write_text(resolve_text(scenario), encoding="utf-8")
    (settings.folder / BENCH_FILE).write_text(_bench_text(bench), encoding="utf-8")
    if speed is None:
        return play_virtual(scenario, settings, on_progress)
    return play_real(scenario, settings, pace=pace, speed=speed, on_progress=on_progress)


def judge(folder: Path) -> JudgedRun:
    """Judge a run folder, and keep the verdict in it.

    Raises
    ------
    RunFolderError
        It is not the folder of a run.
    """
    run = load_run(folder)
    verdict = judge_run(run.scenario, run.policy, run.record, run.events)
    write_verdict(folder / VERDICT_FILE, verdict)
    return JudgedRun(run=run, verdict=verdict)


def sources_of(bench: "OpenBench", scenario: Scenario) -> dict[str, Source]:
    """Return what stands for the devices of a scenario on a bench. Raises as ``OpenBench.assign``."""
    return {
        each.device: Source(
            kind=each.kind,
            transport=each.transport if each.kind == "real" else "",
            chunks=recorded_chunks(each.transport) if each.kind == "replay" else (),
            role=each.role,
            firmware=bench.firmware.get(each.role, ""),
        )
        for each in bench.assign(scenario)
    }


def parse_planted(pairs: Iterable[tuple[str, str]]) -> Planted:
    """Read planted mistakes from names and values.

    Raises
    ------
    RigError
        A name is not known, or a value is none.
    """
    planted = Planted()
    for name, value in pairs:
        match name:
            case "delay_alerts_s":
                try:
                    delay_s = float(value)
                except ValueError:
                    delay_s = math.nan
                if not 0 < delay_s < math.inf:
                    raise RigError(f"delay_alerts_s={value!r}: expected seconds above 0, such as 1")
                planted = replace(planted, delay_alerts_s=delay_s)
            case "withheld_zone":
                planted = replace(planted, withheld_zones=(*planted.withheld_zones, value))
            case "deaf_device":
                planted = replace(planted, deaf_device=value)
            case _:
                raise RigError(f"{name!r} cannot be planted. Expected delay_alerts_s, withheld_zone or deaf_device")
    return planted


def check_planted(planted: Planted, scenario: Scenario) -> None:
    """Refuse a mistake that could not show.

    Raises
    ------
    RigError
        The scenario has no such zone or device.
    """
    zones = [zone.id for zone in scenario.zone]
    for zone_id in planted.withheld_zones:
        if zone_id not in zones:
            known = ", ".join(zones) or "none, for this scenario has no zones"
            raise RigError(f"zone {zone_id!r} cannot be withheld: expected one of: {known}")
    devices = [person.device for person in scenario.person]
    if planted.deaf_device is not None and planted.deaf_device not in devices:
        raise RigError(f"deaf_device={planted.deaf_device!r}: expected one of: {', '.join(devices)}")


def check_pace(pace: str, planted: Planted, kinds: Mapping[str, str]) -> None:
    """Refuse a pace at which it cannot be played.

    Parameters
    ----------
    pace : str
        ``virtual``, ``real`` or ``x`` and a number.
    planted : Planted
    kinds : mapping of str to str
        ``real``, ``emulated`` or ``replay``, by device.

    Raises
    ------
    RigError
        A device is real and time is not, or what is planted needs a bridge in this process.
    """
    speed = speed_of(pace)
    if speed is not None and planted.delay_alerts_s:
        raise RigError("delayed alerts are planted into a bridge in this process. Next: --pace virtual")
    for device, kind in kinds.items():
        if kind == "real" and speed is None:
            raise RigError(f"{device} is real, and knows no virtual time. Next: --pace real")
        if kind == "real" and speed != 1.0:
            raise RigError(f"{device} is real, and cannot be hurried. Next: --pace real")


def _bench_text(bench: "OpenBench | None") -> str:
    return bench_toml(emulated_bench() if bench is None else bench.file, about=("The bench of this run.",))
