"""What the demo is asked to do, and the bridge configuration that follows from it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from rig.ble.keys import key_at
from rig.errors import RigError, ScenarioError
from rig.scenario import Scenario
from rig.truth.expectation import JudgePolicy

STORY: Final = Path(__file__).with_name("story.toml")
"""The demo's own scenario."""

AGENCY: Final = "demo"
TOPIC_FILTER: Final = f"em/v1/{AGENCY}/#"
"""All streams of the bridge's default topic root."""

EXIT_MARGIN_M: Final = 10.0
"""Leaving a zone counts this far outside, metres: five standard deviations of an open-sky fix, so that nobody at the
line flaps in and out."""

SILENCE_BUFFER_S: Final = 1.5
"""Real seconds without a position before it is an alert. Less would take a stall of a busy machine for a lost tag."""

COVER_SETTLE_S: Final = 30.0
"""Real seconds that cover must hold before it is told as back: the bridge's default."""

RECONNECT_S: Final = 8.0
"""Real seconds in which bridge and subscriber find a broker that is back: they try at last every five seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """One run.

    Attributes
    ----------
    folder : Path
        Everything about the run goes here.
    speed : float
        Tag seconds per real second.
    seed : int or None
        Another draw of all errors than the scenario's own.
    withheld_zones : tuple of str
        Zones that the bridge is not told of: proves that the judge sees what is missing.
    allowance_s : float
        Real seconds that an alert may take from the tag to the subscriber.
    """

    folder: Path
    speed: float
    seed: int | None = None
    withheld_zones: tuple[str, ...] = ()
    allowance_s: float = 1.5


def new_run_folder(parent: Path) -> Path:
    """Make ``demo-<n>`` with the first free number."""
    number = 1
    while True:
        folder = parent / f"demo-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            continue
        except OSError as exc:
            raise RigError(f"{folder}: the run folder cannot be made: {exc}. Next: choose another with --out") from exc
        return folder


def port_link(folder: Path, device: str) -> Path:
    """Where a device's port is found."""
    return folder / "ports" / device


def truth_file(folder: Path, device: str) -> Path:
    """Where a device's truth is logged."""
    return folder / f"truth-{device}.jsonl"


KEYS: Final = "keys"
"""Folder of the made-up keys of smart tags and beacons."""


def key_file(folder: Path, name: str) -> Path:
    """Where the made-up key of a smart tag or a beacon lies."""
    return folder / KEYS / f"{name}.key"


def _write_keys(scenario: Scenario, settings: DemoSettings) -> None:
    names = [p.smart_tag.id for p in scenario.person if p.smart_tag]
    names += [p.beacon.key or p.device for p in scenario.person if p.beacon]
    (settings.folder / KEYS).mkdir(mode=0o700)
    for name in names:
        key_at(key_file(settings.folder, name), seed=None)


def write_bridge_files(scenario: Scenario, settings: DemoSettings) -> Path:
    """Write the zones and the configuration; give the configuration's path.

    Raises
    ------
    ScenarioError
        A withheld zone is not in the scenario.
    """
    zones = scenario.zones_geojson()
    known = [zone["id"] for zone in zones["features"]]
    for zone_id in settings.withheld_zones:
        if zone_id not in known:
            raise ScenarioError(f"--withhold-zone {zone_id!r}: no such zone. Expected one of: {', '.join(known)}")
    told = [zone for zone in zones["features"] if zone["id"] not in settings.withheld_zones]
    _write_keys(scenario, settings)
    (settings.folder / "zones.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": told}, indent=1)
    )
    lines = [
        "# Written by tagrig demo. No [broker]: the bridge starts its embedded one.",
        "[bridge]",
        'id = "bridge-demo"',
        f'agency = "{AGENCY}"',
        'status = "Exercise"',
        "[zones]",
        'file = "zones.geojson"',
        "[capture]",
        'folder = "captures"',
        "[outbox]",
        "ballast_mib = 0  # a folder to look at, not to run from for years",
        "[policy]",
        f"exit_margin_m = {EXIT_MARGIN_M}",
    ]
    for person in scenario.person:
        lines += [
            "[[device]]",
            f"id = {_quoted(person.device)}",
            'kind = "ankle_tag"',
            f'role = "{person.role}"',
            f"transport = {_quoted('pty:' + str(port_link(settings.folder.resolve(), person.device)))}",
            f"interval_s = {person.interval_s / settings.speed:.6g}",
            f"silence_buffer_s = {SILENCE_BUFFER_S}",
        ]
        if person.smart_tag is not None and person.smart_tag.issued:
            key = key_file(settings.folder.resolve(), person.smart_tag.id)
            lines += [
                "[[device]]",
                f"id = {_quoted(person.smart_tag.id)}",
                'kind = "smart_tag"',
                'role = "protected"',
                f"transport = {_quoted(f'ble:rolling?key_file={quote(str(key))}')}",
            ]
    for order in scenario.order:
        ids = [z["id"] for z in told if order.zones is None or z["id"] in order.zones]
        lines += ["[[order]]", f"id = {_quoted(order.id)}", f"wearer = {_quoted(order.wearer)}"]
        lines.append(f"zones = [{', '.join(_quoted(i) for i in ids)}]")
        wearer = scenario.find_person(order.wearer)
        if order.protected and wearer is not None and wearer.beacon is not None:
            beacon_key = key_file(settings.folder.resolve(), wearer.beacon.key or wearer.device)
            lines.append(f"beacon_key_file = {_quoted(str(beacon_key))}")
        for ring in order.protected:
            hers = scenario.find_person(ring.device)
            lines += [
                "  [[order.protected]]",
                f"  device = {_quoted(ring.device)}",
                f"  contact_m = {ring.contact_m}",
                f"  alarm_m = {ring.alarm_m}",
                f"  pre_alert_m = {ring.pre_alert_m}",
            ]
            if hers is not None and hers.smart_tag is not None and hers.smart_tag.issued:
                lines.append(f"  smart_tag = {_quoted(hers.smart_tag.id)}")
    path = settings.folder / "bridge.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def judge_policy(scenario: Scenario, settings: DemoSettings) -> JudgePolicy:
    """Put what the bridge was told into tag time."""
    return JudgePolicy(
        exit_margin_m=EXIT_MARGIN_M,
        silence_s={p.device: p.interval_s + SILENCE_BUFFER_S * settings.speed for p in scenario.person},
        reconnect_s=RECONNECT_S * settings.speed,
        cover_settle_s=COVER_SETTLE_S * settings.speed,
    )


def _quoted(text: str) -> str:
    # a JSON string is a TOML basic string for everything that file names and ids hold
    return json.dumps(text, ensure_ascii=False)
