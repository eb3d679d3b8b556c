"""From a configuration to drivers: transports with their captures, Bluetooth tags with their keys."""

import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bridge.config.load import LoadedConfig
from bridge.config.schema import DeviceSection
from bridge.config.sources import Key, key_text
from bridge.errors import ConfigError, Problem
from bridge.plan import Plan
from devices.ankle_tag import AnkleTag
from devices.ble_target import SCHEME, BleTarget, parse_ble_target
from devices.capture import CaptureHeader, CapturingTransport, capture_path
from devices.clock import Clock
from devices.errors import TransportSpecError
from devices.events import DeviceEvent
from devices.transports import open_transport
from devices.transports.base import Transport
from devices.transports.spec import parse_spec
from protocols.ble.smart_tag import KEY_OCTETS

if TYPE_CHECKING:
    from devices.bleak_door import BleRadio
    from devices.smart_tag import SmartTag

EventTaker = Callable[[DeviceEvent], None]

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Any right of the group or of everybody."""


class Driver(Protocol):
    """What the bridge runs for each device."""

    @property
    def device_id(self) -> str:
        """Id of its device."""
        ...

    async def run(self) -> None:
        """Follow the device until cancelled, or until nothing more can come."""
        ...


class Drivers:
    """All drivers of a bridge.

    Parameters
    ----------
    loaded : LoadedConfig
    plan : Plan
    clock : Clock
    take_event : callable
    version, config_hash : str
        Stand in the header of captures.

    Raises
    ------
    ConfigError
        A transport, a target or a key file cannot be used.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        plan: Plan,
        *,
        clock: Clock,
        take_event: EventTaker,
        version: str,
        config_hash: str,
    ) -> None:
        self._loaded = loaded
        self._clock = clock
        self._take_event = take_event
        self._version = version
        self._config_hash = config_hash
        self._captures: list[CapturingTransport] = []
        self.radio: BleRadio | None = None
        self.smart_tags: dict[str, SmartTag] = {}
        self.all: list[Driver] = []
        keys = find_beacon_keys(loaded, plan)
        for device in plan.devices:
            if device.kind == "smart_tag":
                self.all.append(self._make_smart_tag(device, keys.get(device.id)))
            else:
                self.all.append(self._make_line(device))

    @property
    def ankle_tags(self) -> dict[str, AnkleTag]:
        """Drivers that take commands, by the id of their device."""
        return {driver.device_id: driver for driver in self.all if isinstance(driver, AnkleTag)}

    def close_captures(self) -> None:
        """End the raw captures."""
        for capture in self._captures:
            capture.close_capture()

    def _make_smart_tag(self, device: DeviceSection, beacon_key: bytes | None) -> "SmartTag":
        # Here: a bridge without smart tags needs no Bluetooth library, and starts the sooner.
        from devices.bleak_door import BleRadio
        from devices.smart_tag import SmartTag

        if self.radio is None:
            self.radio = BleRadio(self._clock)
        tag = SmartTag(
            device_id=device.id,
            target=find_ble_target(self._loaded, device),
            radio=self.radio,
            clock=self._clock,
            on_event=self._take_event,
            beacon_key=beacon_key,
        )
        self.smart_tags[device.id] = tag
        return tag

    def _make_line(self, device: DeviceSection) -> AnkleTag:
        return AnkleTag(
            device_id=device.id,
            transport=self._make_transport(device),
            clock=self._clock,
            on_event=self._take_event,
        )

    def _make_transport(self, device: DeviceSection) -> Transport:
        transport = find_transport(self._loaded, device, self._clock)
        folder = self._loaded.config.capture.folder
        if folder is None:
            return transport
        now_utc_ns = self._clock.utc_ns()
        header = CaptureHeader(
            device_id=device.id,
            transport=device.transport,
            tagrig_version=self._version,
            t_start_mono_ns=self._clock.mono_ns(),
            t_start_utc_ns=now_utc_ns,
            config_hash=self._config_hash,
        )
        path = capture_path(self._loaded.path_of(folder), device.id, now_utc_ns)
        capture = CapturingTransport(transport, path, header, clock=self._clock)
        self._captures.append(capture)
        return capture


def check_drivers(loaded: LoadedConfig, plan: Plan, clock: Clock) -> None:
    """Read all that drivers are made of, and open nothing.

    Raises
    ------
    ConfigError
        A transport, a target or a key file cannot be used.
    """
    for device in plan.devices:
        if device.kind == "smart_tag":
            find_ble_target(loaded, device)
        else:
            find_transport(loaded, device, clock)
    find_beacon_keys(loaded, plan)


def find_transport(loaded: LoadedConfig, device: DeviceSection, clock: Clock) -> Transport:
    """Make a device's transport.

    Raises
    ------
    ConfigError
        Its specification names no transport.
    """
    try:
        return open_transport(device.transport, clock=clock)
    except TransportSpecError as exc:
        raise _refused(loaded, _transport_key(loaded, device), str(exc)) from exc


def find_ble_target(loaded: LoadedConfig, device: DeviceSection) -> BleTarget:
    """Read a smart tag's target, and the secrets that it names.

    Raises
    ------
    ConfigError
        It is no target, or a secret is missing, malformed or readable by others.
    """
    key = _transport_key(loaded, device)
    try:
        options = parse_spec(device.transport, [SCHEME]).options
        for name in ("key_file", "passkey_file"):
            if name in options:
                _check_secret(loaded, key, name, loaded.folder / options[name])
        return parse_ble_target(device.transport, folder=loaded.folder)
    except TransportSpecError as exc:
        raise _refused(loaded, key, str(exc)) from exc


def find_beacon_keys(loaded: LoadedConfig, plan: Plan) -> Mapping[str, bytes]:
    """Read the keys of the wearers' beacons, by the id of the smart tag that listens for them.

    Raises
    ------
    ConfigError
        A file is missing, malformed or readable by others.
    """
    by_wearer: dict[str, bytes] = {}
    for position, order in enumerate(plan.config.order):
        if order.beacon_key_file is not None:
            key: Key = ("order", position, "beacon_key_file")
            by_wearer[order.wearer] = _read_key(loaded, key, loaded.path_of(order.beacon_key_file))
    return {
        charge.smart_tag: by_wearer[charge.beacon_wearer]
        for charge in plan.charges
        if charge.beacon_wearer in by_wearer
    }


def _read_key(loaded: LoadedConfig, key: Key, path: Path) -> bytes:
    """Read a key in hexadecimal. What the file holds is never quoted."""
    _check_secret(loaded, key, "beacon_key_file", path)
    expected = f"expected {2 * KEY_OCTETS} hexadecimal digits ({KEY_OCTETS} bytes) and nothing else"
    try:
        secret = bytes.fromhex("".join(path.read_text(encoding="ascii").split()))
    except OSError as exc:
        raise _refused(loaded, key, f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError:
        raise _refused(loaded, key, f"{path}: {expected}") from None
    if len(secret) != KEY_OCTETS or not any(secret):
        raise _refused(loaded, key, f"{path}: {expected}, not all of them zero")
    return secret


def _check_secret(loaded: LoadedConfig, key: Key, name: str, path: Path) -> None:
    """Refuse a secret that others on this machine may read."""
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        message = f"{name} {path}: {exc.strerror}. Next: create it, readable by this user only (chmod 600)"
        raise _refused(loaded, key, message) from exc
    if mode & _OTHERS:
        message = (
            f"{name} {path} is a secret that others may read (mode {stat.S_IMODE(mode):04o}). Next: chmod 600 {path}"
        )
        raise _refused(loaded, key, message)


def _transport_key(loaded: LoadedConfig, device: DeviceSection) -> Key:
    return ("device", loaded.config.device.index(device), "transport")


def _refused(loaded: LoadedConfig, key: Key, message: str) -> ConfigError:
    return ConfigError([Problem(path=key_text(key), where=loaded.sources.nearest(key), message=message)])
