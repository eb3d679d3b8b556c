"""The files that a bridge is configured by, from a scenario: ``bridge.toml``, zones, keys."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from rig.ble.keys import key_at
from rig.errors import ScenarioError
from rig.play.settings import AGENCY, EXIT_MARGIN_M, PlaySettings
from rig.runs.folder import (
    BRIDGE_FILE,
    CAPTURES_FOLDER,
    OUTBOX_FOLDER,
    ZONES_FILE,
    Scalar,
    key_path,
)
from rig.scenario import PersonTable, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSetup:
    """What the bench decides and the scenario does not.

    Attributes
    ----------
    broker_url : str
    mqtt_version : {"5", "3.1.1"}
    transports : mapping of str to str
        By device; a smart tag without one is found by its key.
    speed : float
        Seconds of the scenario per second of the bridge's clock.
    silence_buffer_s : float
        Of the bridge's clock.
    """

    broker_url: str
    mqtt_version: Literal["5", "3.1.1"]
    transports: Mapping[str, str]
    speed: float = 1.0
    silence_buffer_s: float


def write_bridge_files(scenario: Scenario, settings: PlaySettings, setup: BridgeSetup) -> Path:
    """Write zones, keys and configuration; give the configuration's path.

    Raises
    ------
    ScenarioError
        A withheld zone is not in the scenario.
    """
    folder = settings.folder.resolve()
    told = _told_zones(scenario, settings.planted.withheld_zones)
    (folder / ZONES_FILE).write_text(json.dumps({"type": "FeatureCollection", "features": told}, indent=1))
    _write_keys(scenario, settings, folder)
    lines = [*_head(settings, setup)]
    for person in scenario.person:
        lines += _device(person, setup, folder)
    for number, order in enumerate(scenario.order):
        lines += _order(
            scenario, number, [z["id"] for z in told if order.zones is None or z["id"] in order.zones], folder
        )
    path = folder / BRIDGE_FILE
    path.write_text("\n".join(lines) + "\n")
    return path


def beacon_key_name(person: PersonTable) -> str | None:
    """Return the name of the key of a wearer's beacon; None: his tag is none."""
    return None if person.beacon is None else person.beacon.key or person.device


def _told_zones(scenario: Scenario, withheld: tuple[str, ...]) -> list[dict[str, Any]]:  # Any: GeoJSON is nested data
    features = scenario.zones_geojson()["features"]
    known = [zone["id"] for zone in features]
    for zone_id in withheld:
        if zone_id not in known:
            raise ScenarioError(f"zone {zone_id!r} cannot be withheld: expected one of: {', '.join(known)}")
    return [zone for zone in features if zone["id"] not in withheld]


def _write_keys(scenario: Scenario, settings: PlaySettings, folder: Path) -> None:
    seed = scenario.seed if settings.seed is None else settings.seed
    for person in scenario.person:
        if person.smart_tag is not None:
            key_at(key_path(folder, person.smart_tag.id), seed=seed)
        name = beacon_key_name(person)
        if name is not None:
            key_at(key_path(folder, name), seed=seed)


def _head(settings: PlaySettings, setup: BridgeSetup) -> Iterator[str]:
    yield "# Written by tagrig for one run."
    yield from ("[bridge]", 'id = "bridge-demo"', f'agency = "{AGENCY}"', 'status = "Exercise"')
    yield from ("[broker]", f"url = {_value(setup.broker_url)}", f'mqtt_version = "{setup.mqtt_version}"')
    yield from ("[zones]", f'file = "{ZONES_FILE}"')
    yield from ("[capture]", f'folder = "{CAPTURES_FOLDER}"', "journal = true")
    yield from (
        "[outbox]",
        f'folder = "{OUTBOX_FOLDER}"',
        "ballast_mib = 0  # a folder to look at, not to run from for years",
    )
    yield from ("[disclosure]", f"enabled = {_value(not settings.lean)}")
    yield "[policy]"
    policy: dict[str, Scalar] = {"exit_margin_m": EXIT_MARGIN_M, "publish_positions": settings.positions}
    yield from (f"{key} = {_value(value)}" for key, value in (policy | dict(settings.policy)).items())
    if settings.warning:
        yield "[warning]"
        yield from (f"{key} = {_value(value)}" for key, value in settings.warning.items())


def _device(person: PersonTable, setup: BridgeSetup, folder: Path) -> Iterator[str]:
    yield "[[device]]"
    yield f"id = {_value(person.device)}"
    yield 'kind = "ankle_tag"'
    yield f'role = "{person.role}"'
    yield f"transport = {_value(setup.transports[person.device])}"
    yield f"interval_s = {person.interval_s / setup.speed:.6g}"
    yield f"silence_buffer_s = {setup.silence_buffer_s:.6g}"
    if person.smart_tag is not None and person.smart_tag.issued:
        key = quote(str(key_path(folder, person.smart_tag.id)))
        transport = setup.transports.get(person.smart_tag.id) or f"ble:rolling?key_file={key}"
        yield "[[device]]"
        yield f"id = {_value(person.smart_tag.id)}"
        yield 'kind = "smart_tag"'
        yield 'role = "protected"'
        yield f"transport = {_value(transport)}"


def _order(scenario: Scenario, number: int, zones: list[str], folder: Path) -> Iterator[str]:
    order = scenario.order[number]
    yield from ("[[order]]", f"id = {_value(order.id)}", f"wearer = {_value(order.wearer)}")
    wearer = scenario.find_person(order.wearer)
    name = None if wearer is None else beacon_key_name(wearer)
    if name is not None:
        yield f"beacon_key_file = {_value(str(key_path(folder, name)))}"
    yield f"zones = [{', '.join(_value(zone) for zone in zones)}]"
    for ring in order.protected:
        hers = scenario.find_person(ring.device)
        yield "  [[order.protected]]"
        yield f"  device = {_value(ring.device)}"
        yield f"  contact_m = {ring.contact_m}"
        yield f"  alarm_m = {ring.alarm_m}"
        yield f"  pre_alert_m = {ring.pre_alert_m}"
        if hers is not None and hers.smart_tag is not None and hers.smart_tag.issued:
            yield f"  smart_tag = {_value(hers.smart_tag.id)}"


def _value(value: Scalar) -> str:
    # a JSON scalar is a TOML value for everything that file names, ids and settings hold
    return json.dumps(value, ensure_ascii=False)
