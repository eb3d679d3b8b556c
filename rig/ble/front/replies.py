"""Answers of bluetoothd: its error names, and how it words ATT errors.

Sources: BlueZ ``src/error.c`` (names and texts), ``src/gatt-client.c`` (``create_gatt_dbus_error``).
"""

from dataclasses import dataclass, field
from typing import Any, Final

ERROR_PREFIX: Final = "org.bluez.Error."


@dataclass(frozen=True, slots=True)
class Reply:
    """What a method call returns."""

    signature: str = ""
    body: list[Any] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)


class BluezError(Exception):
    """An error reply of bluetoothd, for example ``org.bluez.Error.Failed`` "Not connected"."""

    def __init__(self, name: str, text: str = "") -> None:
        super().__init__(f"{name}: {text}")
        self.name = name if "." in name else ERROR_PREFIX + name
        self.text = text


_ATT_ERRORS: Final = {
    0x02: ("NotPermitted", "Read not permitted"),
    0x03: ("NotPermitted", "Write not permitted"),
    0x05: ("NotPermitted", "Not paired"),
    0x06: ("NotSupported", "Operation is not supported"),
    0x07: ("InvalidArguments", "Invalid offset"),
    0x08: ("NotAuthorized", "Operation Not Authorized"),
    0x0C: ("NotPermitted", "Not paired"),
    0x0D: ("InvalidArguments", "Invalid Length"),
    0x0F: ("NotPermitted", "Not paired"),
    0xFD: ("ImproperlyConfigured", "CCCD improperly configured"),
}


def att_error(code: int) -> BluezError:
    """Word an ATT error as bluetoothd does."""
    name, text = _ATT_ERRORS.get(code, ("Failed", f"Operation failed with ATT error: 0x{code:02x}"))
    return BluezError(name, text)


def not_connected() -> BluezError:
    """Answer what needs a link where there is none."""
    return BluezError("Failed", "Not connected")


def in_progress() -> BluezError:
    """Answer a second request while the first one runs."""
    return BluezError("InProgress", "Operation already in progress")


def not_ready() -> BluezError:
    """Answer anything while the adapter is off."""
    return BluezError("NotReady", "Resource Not Ready")


def unknown_object(path: str | None) -> BluezError:
    """Answer a call to an object that is not there."""
    return BluezError("org.freedesktop.DBus.Error.UnknownObject", f"Method on {path}: there is no such object")
