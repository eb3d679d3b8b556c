"""Firmware images as MCUboot wants them, checked before a byte goes to a tag.

Layout: ``docs.mcuboot.com``, "Image format": header of 32 octets, body, protected TLVs, TLVs. TLV 0x10 is the SHA-256
of everything before the TLVs, and what the tag calls the image by.
"""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from devices.errors import FirmwareFileError

IMAGE_MAGIC = 0x96F3B83D
TLV_MAGIC, PROTECTED_TLV_MAGIC = 0x6907, 0x6908
TLV_SHA256 = 0x10
FILE_MAX_BYTES = 16 * 1024 * 1024
"""Bytes. More than any slot of the chips in tags: a larger file is a mistake."""

_HEADER = struct.Struct("<IIHHIIBBHI4x")
_TLV_HEAD = struct.Struct("<HH")
_TLV = struct.Struct("<HH")
_ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareImage:
    """A file that a bootloader will start, signature aside.

    Attributes
    ----------
    name : str
        What it is called in messages.
    version : str
        ``1.5.0``, or ``1.5.0.7`` with a build number, as a tag tells it.
    sha256 : bytes
        By which the tag knows it.
    data : bytes
        The whole file.
    """

    name: str
    version: str
    sha256: bytes
    data: bytes


def read_image(path: Path) -> FirmwareImage:
    """Read a file and check it as the bootloader will.

    Raises
    ------
    FirmwareFileError
        Says what is wrong and what was expected.
    """
    try:
        size = path.stat().st_size
        if size > FILE_MAX_BYTES:
            raise FirmwareFileError(f"{path}: {size} bytes, expected at most {FILE_MAX_BYTES}: no tag has such a slot")
        data = path.read_bytes()
    except OSError as exc:
        raise FirmwareFileError(f"{path}: {exc.strerror or exc}") from exc
    return check_image(path.name, data)


def check_image(name: str, data: bytes) -> FirmwareImage:
    """Check an image.

    Raises
    ------
    FirmwareFileError
    """
    if len(data) < _HEADER.size:
        raise FirmwareFileError(f"{name}: {len(data)} bytes, expected at least a header of {_HEADER.size}")
    magic, _, header_size, protected_size, body_size, _, major, minor, revision, build = _HEADER.unpack_from(data)
    if magic != IMAGE_MAGIC:
        raise FirmwareFileError(f"{name}: begins with {magic:#010x}, expected {IMAGE_MAGIC:#010x}. {_hint(data)}")
    end = header_size + body_size + protected_size
    if header_size < _HEADER.size or end + _TLV_HEAD.size > len(data):
        raise FirmwareFileError(
            f"{name}: its header speaks of {end} bytes and a trailer, the file has {len(data)}: it is cut short. "
            "Next: copy or build it again"
        )
    wanted = _find_sha256(name, data, end)
    got = hashlib.sha256(data[:end]).digest()
    if wanted != got:
        raise FirmwareFileError(
            f"{name}: its hash is {got.hex()[:16]}..., its trailer says {wanted.hex()[:16]}...: the file is damaged. "
            "Next: copy or build it again"
        )
    version = f"{major}.{minor}.{revision}" + (f".{build}" if build else "")
    return FirmwareImage(name=name, version=version, sha256=wanted, data=data)


def _find_sha256(name: str, data: bytes, at: int) -> bytes:
    magic, total = _TLV_HEAD.unpack_from(data, at)
    stop = at + total
    if magic != TLV_MAGIC or stop > len(data):
        raise FirmwareFileError(
            f"{name}: no trailer at byte {at}: expected {TLV_MAGIC:#06x}, got {magic:#06x}. "
            "Next: sign the image (west sign, imgtool sign)"
        )
    at += _TLV_HEAD.size
    while at + _TLV.size <= stop:
        kind, length = _TLV.unpack_from(data, at)
        value = data[at + _TLV.size : at + _TLV.size + length]
        if kind == TLV_SHA256 and len(value) == hashlib.sha256().digest_size:
            return value
        at += _TLV.size + length
    raise FirmwareFileError(f"{name}: its trailer has no SHA-256. Next: sign the image with imgtool, hash SHA-256")


def _hint(data: bytes) -> str:
    if data.startswith(_ELF):
        return "This is an ELF file. Next: take zephyr.signed.bin from the same build"
    if data.startswith(b":"):
        return "This looks like Intel HEX. Next: take the .bin of the same build"
    return "Next: take the signed .bin of the build (zephyr.signed.bin)"
