"""Key files of emulated tags: what a driver's ``ble:rolling?key_file=...`` names, readable by their owner only."""

import os
import secrets
from pathlib import Path
from typing import Final

from protocols.ble.smart_tag import KEY_OCTETS
from rig.emulator.noise import stream
from rig.errors import RigError

_MODE: Final = 0o600


def read_key(path: Path) -> bytes:
    """Read a key of hexadecimal digits.

    Raises
    ------
    RigError
        It cannot be read, or holds anything else. The contents are never quoted.
    """
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except OSError as exc:
        raise RigError(f"{path}: the key cannot be read: {exc.strerror or exc}") from exc
    except ValueError:
        raise RigError(f"{path}: expected {2 * KEY_OCTETS} hexadecimal digits and nothing else") from None
    if len(key) != KEY_OCTETS:
        raise RigError(f"{path}: expected a key of {KEY_OCTETS} bytes, got {len(key)}")
    return key


def key_at(path: Path, *, seed: int | None) -> bytes:
    """Read the key in a file, or draw one into it where there is none; a seed makes it the same each time.

    Raises
    ------
    RigError
        The file can be neither read nor made.
    """
    if path.exists():
        return read_key(path)
    key = secrets.token_bytes(KEY_OCTETS) if seed is None else stream(seed, f"key/{path.name}").randbytes(KEY_OCTETS)
    write_secret(path, key.hex())
    return key


def write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone can read.

    Raises
    ------
    RigError
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE), "w", encoding="ascii") as file:
            file.write(text + "\n")
    except OSError as exc:
        raise RigError(f"{path}: cannot be written: {exc.strerror or exc}. Next: choose another folder") from exc
