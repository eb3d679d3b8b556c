"""Reads bench files. Errors say which table and which key, what was expected, and what is near what was typed."""

import difflib
import json
import re
import string
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from devices.ble_target import SCHEME as BLE
from devices.ble_target import parse_ble_target
from devices.errors import TransportSpecError
from devices.transports import SCHEMES, open_transport
from devices.transports.spec import closest, parse_spec
from rig.bench.errors import BenchFileError
from rig.bench.schema import (
    EMULATED,
    KNOWN_FEATURES,
    REPLAY,
    BenchFile,
    BenchTable,
    BrokerTable,
    CommandFlashTable,
    CommandPowerTable,
    DeviceTable,
    EmulatedPowerTable,
    SmpFlashTable,
    emulated_bench,
    relative,
)

__all__ = ["bench_toml", "emulated_bench", "load_bench", "parse_bench"]

TEMPLATE_FIELDS: Final = frozenset({"role", "port", "serial", "location"})
"""What a command of a bench file may ask to have filled in; a flashing command also ``image``."""

OWN_BROKER: Final = "mqtt://127.0.0.1:0"
"""Port 0: one is started for the run, on a port that is free."""

_ROLE: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TYPES: Final[Mapping[str, type[msgspec.Struct]]] = {"bench": BenchTable, "broker": BrokerTable}
_TABLE_TAGS: Final = {"power": ("serial", "command", "manual", "emulated"), "flash": ("command", "smp")}


def load_bench(path: Path) -> BenchFile:
    """Read and check a bench file.

    Raises
    ------
    BenchFileError
        It cannot be read, or describes no bench; the message says where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BenchFileError(
            f"{path}: the bench file cannot be read: {exc}. Next: tagrig scan --write {path} makes a first one"
        ) from exc
    return parse_bench(text, name=str(path), folder=path.parent)


def parse_bench(text: str, *, name: str, folder: Path) -> BenchFile:
    """Check the text of a bench file; ``name`` stands in messages, relative paths start from ``folder``.

    Raises
    ------
    BenchFileError
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise BenchFileError(f"{name}: not TOML: {exc}") from exc
    _known(name, data, ("bench", "devices", "broker"), "")
    if "bench" not in data:
        raise BenchFileError(f'{name}: bench: missing. Expected a table such as [bench] with name = "desk-1"')
    tables = data.get("devices", {})
    if not isinstance(tables, dict):
        raise BenchFileError(f"{name}: devices: expected tables such as [devices.offender], got {tables!r}")
    devices: dict[str, DeviceTable] = {}
    for role, table in tables.items():
        where = f"devices.{role}"
        if not _ROLE.fullmatch(role):
            raise BenchFileError(
                f"{name}: {where}: {role!r} is no role. Expected lower-case letters, digits and hyphens, as offender, "
                "victim, victim-2"
            )
        devices[role] = _convert(name, table, DeviceTable, where)
    url = data.get("broker", {}).get("url", OWN_BROKER) if isinstance(data.get("broker"), dict) else OWN_BROKER
    if url != OWN_BROKER:
        raise BenchFileError(
            f"{name}: broker.url: {url!r}: each run has a broker of its own. Expected {OWN_BROKER!r}, or nothing; "
            "tagrig provider-check is for a provider's broker"
        )
    file = BenchFile(
        bench=_convert(name, data["bench"], BenchTable, "bench"),
        devices=devices,
        broker=_convert(name, data.get("broker", {}), BrokerTable, "broker"),
    )
    for role, device in devices.items():
        _check_device(f"{name}: devices.{role}", device, folder)
    _check_shared(name, file)
    return file


def _convert(name: str, table: Any, kind: type[Any], where: str) -> Any:  # Any: TOML in, a struct of `kind` out
    if not isinstance(table, dict):
        raise BenchFileError(f"{name}: {where}: expected a table, got {table!r}")
    _known(name, table, [field.name for field in msgspec.structs.fields(kind)], where)
    for key, tags in _TABLE_TAGS.items():
        inner = table.get(key)
        if kind is DeviceTable and isinstance(inner, dict) and inner.get("kind") not in tags:
            got = "nothing" if "kind" not in inner else repr(inner["kind"])
            raise BenchFileError(f"{name}: {where}.{key}.kind: expected one of {', '.join(tags)}, got {got}")
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as exc:
        text, _, path = str(exc).partition(" - at `$")
        inside = path.rstrip("`")
        raise BenchFileError(f"{name}: {where}{inside}: {text}") from exc


def _known(name: str, table: Mapping[str, object], keys: Iterable[str], where: str) -> None:
    known = list(keys)
    for key in table:
        if key not in known:
            at = f"{where}.{key}" if where else key
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise BenchFileError(f"{name}: {at}: unknown key{hint} Known: {', '.join(known)}")


def _check_device(where: str, device: DeviceTable, folder: Path) -> None:
    for feature in device.features or ():
        if feature not in KNOWN_FEATURES:
            raise BenchFileError(
                f"{where}.features: {feature!r} is not known{closest(feature, KNOWN_FEATURES) or '.'} "
                f"Known: {', '.join(sorted(KNOWN_FEATURES))}"
            )
    try:
        _check_transport(device, folder)
    except TransportSpecError as exc:
        raise BenchFileError(f"{where}.transport: {exc}") from exc
    if device.kind != "real":
        for key in ("power", "flash"):
            if getattr(device, key) is not None:
                raise BenchFileError(
                    f"{where}.{key}: {device.kind} devices have none. Expected a device on a real port; in a run the "
                    "scenario's events (power_off, power_on) switch emulated tags"
                )
    if isinstance(device.power, CommandPowerTable):
        _check_template(f"{where}.power.on", device.power.on, TEMPLATE_FIELDS)
        _check_template(f"{where}.power.off", device.power.off, TEMPLATE_FIELDS)
    if isinstance(device.power, EmulatedPowerTable) and not device.transport.startswith("pty:/"):
        raise BenchFileError(
            f"{where}.power: emulated power makes the port that it switches. Expected transport pty:/PATH"
        )
    if device.flash is not None:
        if isinstance(device.flash, CommandFlashTable):
            _check_template(f"{where}.flash.command", device.flash.command, TEMPLATE_FIELDS | {"image"})
        if not relative(folder, device.flash.image).is_file():
            raise BenchFileError(f"{where}.flash.image: there is no file {relative(folder, device.flash.image)}")
        if device.flash.version is None and device.expect_firmware is None:
            raise BenchFileError(
                f"{where}.flash: nothing says what must run afterwards. Next: add version, or expect_firmware beside it"
            )
        if isinstance(device.flash, SmpFlashTable) and device.flash.target is not None:
            target = device.flash.target
            try:
                parse_spec(target, ["serial", "pty", BLE])
            except TransportSpecError as exc:
                raise BenchFileError(f"{where}.flash.target: {exc}") from exc


def _check_transport(device: DeviceTable, folder: Path) -> None:
    spec = parse_spec(device.transport, [*SCHEMES, BLE, EMULATED])
    if device.kind == "emulated":
        spec.check_options()
        if spec.target:
            raise spec.error("expected emulated: and nothing behind it; the scenario says what surrounds the device")
        if device.expect_firmware is not None:
            raise spec.error("expect_firmware is for hardware; an emulated device runs what this version brings")
    elif device.type == "smart_tag":
        if spec.scheme != BLE:
            raise spec.error(
                "a smart tag is reached by Bluetooth. Expected ble:ADDRESS, ble:rolling?key_file=..., or emulated:"
            )
        parse_ble_target(device.transport, folder=folder)
    elif spec.scheme == BLE:
        raise spec.error(f"a device of type {device.type} is read from a line. Expected serial:, socket:, pty:, ...")
    elif spec.scheme == "memory":
        raise spec.error(
            "lives in one process only, and nobody writes into it here. Expected serial:, pty:, replay:, ..."
        )
    else:
        open_transport(device.transport)
        if spec.scheme == REPLAY and not relative(folder, spec.target).is_file():
            raise spec.error(f"there is no file {relative(folder, spec.target)}")


def _check_template(where: str, argv: tuple[str, ...], fields: frozenset[str]) -> None:
    for part in argv:
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(part) if name is not None]
        except ValueError as exc:
            raise BenchFileError(f"{where}: {part!r}: {exc}. Write {{{{ for a brace") from exc
        for name in names:
            if name not in fields:
                raise BenchFileError(f"{where}: {part!r}: unknown field {name!r}. Known: {', '.join(sorted(fields))}")


def _check_shared(name: str, file: BenchFile) -> None:
    seen: dict[str, str] = {}
    for role, device in file.devices.items():
        if device.kind == "emulated":
            continue
        place = device.transport.partition("?")[0]
        if place == "ble:rolling":
            place = device.transport
        if place in seen:
            raise BenchFileError(
                f"{name}: devices.{role}.transport: {place} is that of devices.{seen[place]}. Expected one role each"
            )
        seen[place] = role


# --- writing --------------------------------------------------------------------------------------------------------


def bench_toml(file: BenchFile, *, about: Iterable[str] = ()) -> str:
    """Return a bench file as text; ``about`` are comment lines at its head."""
    lines = [f"# {line}".rstrip() for line in about]
    lines += _table("bench", file.bench)
    for role, device in file.devices.items():
        lines += _table(f"devices.{role}", device)
    lines += _table("broker", file.broker)
    return "\n".join(lines).lstrip("\n") + "\n"


def _table(name: str, struct: msgspec.Struct) -> list[str]:
    lines: list[str] = []
    tables: list[str] = []
    tag = struct.__struct_config__.tag
    if tag is not None:
        lines.append(f"{struct.__struct_config__.tag_field} = {_value(tag)}")
    for field in msgspec.structs.fields(type(struct)):
        value = getattr(struct, field.name)
        if value is None or value == field.default:
            continue
        if isinstance(value, msgspec.Struct):
            tables += _table(f"{name}.{field.name}", value)
        else:
            lines.append(f"{field.name} = {_value(value)}")
    if not lines and not tables:
        return []
    return ["", f"[{name}]", *lines, *tables]


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    # a JSON string, number or boolean is a TOML one for everything that a bench file holds
    return json.dumps(value, ensure_ascii=False)
