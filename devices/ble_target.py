"""Which Bluetooth tag is meant: ``ble:C0:DE:00:00:00:01?adapter=hci0`` or ``ble:rolling?key_file=PATH``."""

import re
from dataclasses import dataclass, field
from enum import StrEnum, unique
from pathlib import Path

from devices.transports.spec import TransportSpec, closest, parse_spec
from protocols.ble.smart_tag import KEY_OCTETS

SCHEME = "ble"
"""Stands before the colon of every target."""
ROLLING = "rolling"
"""Target of a tag that has no fixed address and is known by its key alone."""
ESPHOME_SCHEME = "esphome"
"""An adapter in another room: ``adapter=esphome://host:port``."""

_ADDRESS = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}")
_ADAPTER = re.compile(r"hci[0-9]{1,3}")
_PASSKEY = re.compile(r"[0-9]{6}")


@unique
class Pairing(StrEnum):
    """How a link to the tag is secured."""

    NONE = "none"
    """Not at all; keys and time are not sent."""
    BOND = "bond"
    """Encrypted, with whoever answered when the bond was made."""
    MITM = "mitm"
    """Encrypted, with a passkey against a man in the middle; the tag's keys are sent only over such a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BleTarget:
    """One tag, the adapter that talks to it, and how the link is secured.

    Attributes
    ----------
    text : str
        The string as it was given; names the target in every message.
    address : str or None
        Upper case, colons between the bytes; None for a tag that is known by its key.
    key : bytes or None
        Together with an address: a new tag, which is given the key at that address and found by its key afterwards.
    adapter : str or None
        None: the first adapter that is switched on.
    pair : Pairing
    passkey : int or None
        None: an agent of the system answers (for example ``bluetoothctl``).
    """

    text: str
    address: str | None = None
    key: bytes | None = field(default=None, repr=False)
    adapter: str | None = None
    pair: Pairing = Pairing.NONE
    passkey: int | None = field(default=None, repr=False)


def parse_ble_target(text: str, *, folder: Path) -> BleTarget:
    """Read a target and the files it names.

    Parameters
    ----------
    text : str
    folder : Path
        What relative paths in the string start from.

    Raises
    ------
    TransportSpecError
        Says which part is wrong and what was expected. Contents of key files are never quoted.
    """
    spec = parse_spec(text, [SCHEME])
    spec.check_options("adapter", "key_file", "pair", "passkey_file")
    pair = Pairing(spec.choice("pair", Pairing.NONE, [kind.value for kind in Pairing]))
    passkey = _find_passkey(spec, folder)
    if passkey is not None and pair is not Pairing.MITM:
        raise spec.error("passkey_file is used with pair=mitm only. Next: add pair=mitm, or leave the passkey out")
    adapter = _find_adapter(spec)
    if pair is Pairing.MITM and passkey is None and adapter is not None and adapter.startswith(ESPHOME_SCHEME):
        raise spec.error(
            "pair=mitm: a proxy pairs with whoever answers, and keys would go there. Next: pair=none, or adapter=hci0"
        )
    key = _read_key(spec, folder) if "key_file" in spec.options else None
    address = None
    if spec.target == ROLLING:
        if key is None:
            raise spec.error("a rolling tag is known by its key alone. Next: add key_file=PATH")
    else:
        address = spec.target.upper()
        if not _ADDRESS.fullmatch(address):
            raise spec.error(
                f"{spec.target!r} is not an address: expected {ROLLING!r} or six bytes such as C0:DE:00:00:00:01"
                f"{closest(spec.target, [ROLLING])}"
            )
    return BleTarget(
        text=spec.text,
        address=address,
        key=key,
        adapter=adapter,
        pair=pair,
        passkey=passkey,
    )


def _find_adapter(spec: TransportSpec) -> str | None:
    adapter = spec.options.get("adapter")
    if adapter is None or _ADAPTER.fullmatch(adapter):
        return adapter
    if adapter.startswith(f"{ESPHOME_SCHEME}:"):
        remote = parse_spec(adapter, [ESPHOME_SCHEME])
        remote.host_port()
        return adapter
    raise spec.error(f"option adapter={adapter!r}: expected hci0, hci1, ... or {ESPHOME_SCHEME}://host:port")


def _read_key(spec: TransportSpec, folder: Path) -> bytes:
    path = folder / spec.options["key_file"]
    text = "".join(_read_secret(spec, "key_file", path).split())
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise spec.error(f"key_file {path}: expected hexadecimal digits and nothing else") from None
    if len(key) != KEY_OCTETS:
        raise spec.error(f"key_file {path}: {len(key)} bytes, expected {KEY_OCTETS} (32 hexadecimal digits)")
    return key


def _find_passkey(spec: TransportSpec, folder: Path) -> int | None:
    if "passkey_file" not in spec.options:
        return None
    path = folder / spec.options["passkey_file"]
    text = _read_secret(spec, "passkey_file", path).strip()
    if not _PASSKEY.fullmatch(text):
        raise spec.error(f"passkey_file {path}: expected six decimal digits and nothing else")
    return int(text)


def _read_secret(spec: TransportSpec, option: str, path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError as exc:
        raise spec.error(f"{option} {path}: {exc.strerror or exc}. Next: create it, readable by this user") from exc
    except UnicodeDecodeError:
        raise spec.error(f"{option} {path}: expected text of digits, got other bytes") from None
