"""A configuration made ready: devices in rows, zones assigned to wearers, pairs with their rings."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from bridge.config.load import LoadedConfig
from bridge.config.schema import BridgeConfig, DeviceSection
from bridge.config.sources import Key, key_text
from bridge.errors import ConfigError, Problem
from bridge.orders.layer import ZoneLayer
from bridge.orders.zones import MAX_ZONE_NAME, zone_refs
from bridge.warning.desk import Charge
from bridge.warning.hearing import DEFAULT_CALIBRATION
from bridge.zone_index import open_zones
from devices.errors import CalibrationError
from devices.rssi import Calibration
from devices.rssi_file import read_calibration
from geofence_core.assigned import AssignedZones
from geofence_core.errors import GeofenceError, ZoneGeometryError
from geofence_core.pairs import PairTable
from geofence_core.zones import ZoneTable
from protocols.mqtt.messages import ZoneRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is judged. Row ``device_idx`` of every column is ``devices[device_idx]``.

    ``assigned`` is None where no wearer has a zone of the file; ``zone_refs`` follows the file's zones; ``mends`` says
    what was put right in them; ``order_layers`` are the zones of orders that were loaded since; ``charges`` are the
    protected persons with a smart tag; ``calibrations`` by wearer and smart tag.
    """

    config: BridgeConfig
    devices: tuple[DeviceSection, ...]
    assigned: AssignedZones | None
    zone_refs: tuple[ZoneRef, ...]
    pairs: PairTable
    charges: tuple[Charge, ...]
    mends: tuple[str, ...]
    order_layers: tuple[ZoneLayer, ...] = ()
    calibrations: Mapping[tuple[str, str], Calibration] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[ZoneLayer, ...]:
        """All zones, in the parts that are judged in one call each."""
        if self.assigned is None:
            return self.order_layers
        return (ZoneLayer(assigned=self.assigned, refs=self.zone_refs), *self.order_layers)

    @property
    def zones_count(self) -> int:
        """Zones of the file and of loaded orders."""
        return len(self.zone_refs) + sum(len(np.unique(layer.assigned.zone_idx)) for layer in self.order_layers)

    def has_zone(self, device_idx: int, zone: ZoneRef) -> bool:
        """Whether a zone is judged for a device."""
        return any(layer.has(device_idx, zone) for layer in self.layers)

    @property
    def unwarnable(self) -> tuple[str, ...]:
        """Protected persons of an order for whom no smart tag was issued: nobody warns them."""
        warned = {charge.person for charge in self.charges}
        named = dict.fromkeys(ring.device for order in self.config.order for ring in order.protected)
        return tuple(person for person in named if person not in warned)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What is allowed and leaves a protected person worse off than she could be."""
        found = [
            f"no smart tag was issued to protected person {person!r}: nobody warns her" for person in self.unwarnable
        ]
        if self.charges and len(self.pairs) and not self.config.policy.exit_margin_m:
            found.append(
                "policy.exit_margin_m is 0: at the edge of a ring every error of a receiver warns her anew. "
                "Next: give it a few times the receivers' error, such as 15"
            )
        keyed = {order.wearer for order in self.config.order if order.beacon_key_file is not None}
        transport = {device.id: device.transport for device in self.devices}
        found += [
            f"smart tag {charge.smart_tag!r} is not given the key of the beacon of {charge.beacon_wearer!r}: keys go "
            "to a tag with key_file, pair=mitm and a passkey only. Until it has it, it does not warn her by itself"
            for charge in self.charges
            if charge.beacon_wearer in keyed
            and not all(part in transport[charge.smart_tag] for part in ("key_file=", "pair=mitm"))
        ]
        return tuple(found)


def make_plan(loaded: LoadedConfig, *, write_index: bool = True) -> Plan:
    """Read the zones file and tie orders to zones and devices.

    Without any ``[[order]]`` every wearer has all zones of the file: the shortest way from a receiver and a zones file
    to alerts. With orders, only what an order says. ``write_index``: whether ``zones.index`` may be written.

    Raises
    ------
    ConfigError
        The zones file cannot be used (with the zone, ring and vertex), or an order names a zone that is not in it.
    """
    config = loaded.config
    zones = _load_zones(loaded, write_index)
    row = {device.id: index for index, device in enumerate(config.device)}
    wearers = [device.id for device in config.device if device.role == "wearer"]
    wanted: set[tuple[int, int]] = set()
    problems: list[Problem] = []
    if zones is not None:
        ids = list(zones.ids)
        problems += _long_names(zones, loaded)
        if not config.order:
            wanted = {(row[wearer], zone) for wearer in wearers for zone in range(len(ids))}
        for position, order in enumerate(config.order):
            for place, name in enumerate(order.zones if order.zones is not None else ids):
                if name in ids:
                    wanted.add((row[order.wearer], ids.index(name)))
                    continue
                close = difflib.get_close_matches(name, ids, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"It has: {', '.join(ids)}"
                problems.append(
                    Problem(
                        path=f"order[{position}].zones[{place}]",
                        where=loaded.sources.nearest(("order", position, "zones")),
                        message=f"zone {name!r} is not in {config.zones.file}. {hint}",
                    )
                )
    if problems:
        raise ConfigError(problems)
    own = sorted(wanted)
    calibrations = _load_calibrations(loaded)
    return Plan(
        config=config,
        devices=config.device,
        assigned=AssignedZones(zones, [w for w, _ in own], [z for _, z in own], wearers=len(config.device))
        if zones is not None and own
        else None,
        zone_refs=zone_refs(zones) if zones is not None else (),
        pairs=make_pairs(config),
        charges=find_charges(config, calibrations),
        mends=tuple(f"zone {mend.zone_id!r}: {mend.what}" for mend in zones.mends) if zones is not None else (),
        calibrations=calibrations,
    )


def make_pairs(config: BridgeConfig) -> PairTable:
    """Tie protected persons to wearers, in the rows of their devices."""
    row = {device.id: index for index, device in enumerate(config.device)}
    rings = [(order.wearer, ring) for order in config.order for ring in order.protected]
    return PairTable.of(
        [row[wearer] for wearer, _ in rings],
        [row[ring.device] for _, ring in rings],
        [ring.contact_m for _, ring in rings],
        [ring.alarm_m for _, ring in rings],
        [ring.pre_alert_m for _, ring in rings],
    )


def find_charges(
    config: BridgeConfig,
    calibrations: Mapping[tuple[str, str], Calibration],
    issued: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Charge, ...]:
    """Tie protected persons to the smart tags that warn them; a tag in no order still carries her call for help.

    ``calibrations`` by wearer and smart tag. ``issued``: whose each tag was by an earlier plan; a tag that no order
    names any more stays hers, unless she has another one.
    """
    smart = {device.id for device in config.device if device.kind == "smart_tag"}
    wearers: dict[tuple[str, str], list[str]] = {}
    beacon_wearer: dict[str, str] = {}
    taken: set[str] = set()
    for order in config.order:
        for ring in order.protected:
            taken.add(ring.device)
            tag = ring.smart_tag or (ring.device if ring.device in smart else None)
            if tag is None:
                continue
            taken.add(tag)
            wearers.setdefault((ring.device, tag), []).append(order.wearer)
            if order.beacon_key_file is not None:
                beacon_wearer[tag] = order.wearer
    warned = {person for person, _ in wearers}
    protected = {device.id for device in config.device if device.role == "protected"}
    for tag in sorted(smart - taken):
        person = issued.get(tag, tag)
        person = tag if person in warned or person not in protected else person
        warned.add(person)
        wearers[person, tag] = []
    charges = []
    for (person, tag), names in wearers.items():
        # A tag may have been given the key elsewhere; where she is protected from one man, it is his.
        wearer = beacon_wearer.get(tag, names[0] if len(names) == 1 else "")
        charges.append(
            Charge(
                person=person,
                smart_tag=tag,
                wearers=tuple(names),
                beacon_wearer=wearer,
                calibration=calibrations.get((wearer, tag), DEFAULT_CALIBRATION),
            )
        )
    return tuple(charges)


def _load_calibrations(loaded: LoadedConfig) -> dict[tuple[str, str], Calibration]:
    """Read how strongly smart tags hear the beacon of their wearer. One made of another pair is refused.

    Raises
    ------
    ConfigError
        A file cannot be used.
    """
    found: dict[tuple[str, str], Calibration] = {}
    for position, order in enumerate(loaded.config.order):
        for place, ring in enumerate(order.protected):
            if ring.beacon_calibration_file is None:
                continue
            key = ("order", position, "protected", place, "beacon_calibration_file")
            path = loaded.path_of(ring.beacon_calibration_file)
            tag = ring.smart_tag or ring.device
            try:
                content = read_calibration(path)
            except CalibrationError as exc:
                raise _refused(loaded, key, str(exc)) from exc
            if (content.tag, content.receiver) != (order.wearer, tag):
                raise _refused(
                    loaded,
                    key,
                    f"{path}: made of tag {content.tag!r} at receiver {content.receiver!r}, expected {order.wearer!r} "
                    f"at {tag!r}. Next: tagrig calibrate rssi --tag {order.wearer} --receiver {tag}",
                )
            found[order.wearer, tag] = content.calibration()
    return found


def _refused(loaded: LoadedConfig, key: Key, message: str) -> ConfigError:
    return ConfigError([Problem(path=key_text(key), where=loaded.sources.nearest(key), message=message)])


def _long_names(zones: ZoneTable, loaded: LoadedConfig) -> list[Problem]:
    """Refuse names that would make an alert longer than the contract's largest body."""
    return [
        Problem(
            path=f"{loaded.config.zones.file}: zone {zone_id[:40]!r}",
            where=loaded.sources.nearest(("zones", "file")),
            message=f"its id or name is longer than {MAX_ZONE_NAME} characters",
        )
        for zone_id, name in zip(zones.ids, zones.names, strict=True)
        if len(zone_id) > MAX_ZONE_NAME or len(name or "") > MAX_ZONE_NAME
    ]


def _load_zones(loaded: LoadedConfig, write_index: bool) -> ZoneTable | None:
    name = loaded.config.zones.file
    if name is None:
        return None
    path = loaded.path_of(name)
    where = loaded.sources.nearest(("zones", "file"))
    mend, index = loaded.config.zones.mend, loaded.config.zones.index
    try:
        if index is not None:
            return open_zones(path, loaded.path_of(index), mend=mend, write=write_index)
        return ZoneTable.from_geojson(path, mend=mend)
    except ZoneGeometryError as exc:
        here = ", which here is mend = true under [zones]" if exc.is_mendable else ""
        raise ConfigError([Problem(path=name, where=where, message=f"{exc}{here}")]) from exc
    except GeofenceError as exc:
        raise ConfigError([Problem(path="zones.file", where=where, message=str(exc))]) from exc
