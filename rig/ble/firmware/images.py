"""Firmware images and the two slots they live in, as a MCUboot bootloader keeps them.

Image (MCUboot "Image format"), little-endian::

    0   magic 0x96f3b83d        4   load address      8   header size   10  protected TLV size
    12  body size               16  flags             20  version: major, minor (u8), revision (u16), build (u32)
    28  padding, body, then TLVs: magic 0x6907, total size, entries of type (u8), pad, length (u16), value

TLV 0x10 is the SHA-256 of header and body. Signatures are not checked: the emulated tag has no public key.
"""

import hashlib
import struct
from dataclasses import dataclass, replace
from enum import IntEnum, unique
from typing import Final

IMAGE_MAGIC: Final = 0x96F3B83D
_TLV_MAGIC: Final = 0x6907
_TLV_SHA256: Final = 0x10
_HEADER: Final = struct.Struct("<IIHHIIBBHI4x")
_TLV_HEAD: Final = struct.Struct("<HH")
_TLV: Final = struct.Struct("<BxH")

SLOT_BYTES: Final = 512 * 1024
"""Bytes of one slot, as on a chip with 1 MiB of flash. Larger images are refused."""


@unique
class ImageError(IntEnum):
    """Return codes of the image group (Zephyr ``img_mgmt_err_code_t``), those that this model gives."""

    NO_IMAGE = 3
    HASH_NOT_FOUND = 8
    NO_FREE_SLOT = 9
    FLASH_WRITE_FAILED = 12
    INVALID_SLOT = 14
    INVALID_OFFSET = 20
    INVALID_LENGTH = 21
    INVALID_IMAGE_HEADER = 22
    INVALID_IMAGE_HEADER_MAGIC = 23
    CURRENT_VERSION_IS_NEWER = 27
    INVALID_IMAGE_TOO_LARGE = 30
    INVALID_IMAGE_DATA_OVERRUN = 31
    SETTING_TEST_TO_ACTIVE_DENIED = 33


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ImageVersion:
    """Version in an image's header; compares as Zephyr does, without the build number."""

    major: int
    minor: int
    revision: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """A bootable image in a slot: its version, and the hash that names it."""

    version: ImageVersion
    sha256: bytes


def make_image(version: ImageVersion, body: bytes) -> bytes:
    """Build an image file that the bootloader accepts."""
    head = _HEADER.pack(
        IMAGE_MAGIC, 0, _HEADER.size, 0, len(body), 0, version.major, version.minor, version.revision, 0
    )
    digest = hashlib.sha256(head + body).digest()
    tlvs = _TLV.pack(_TLV_SHA256, len(digest)) + digest
    return head + body + _TLV_HEAD.pack(_TLV_MAGIC, _TLV_HEAD.size + len(tlvs)) + tlvs


def find_stored_image(data: bytes) -> StoredImage | None:
    """Return the image in a slot as the bootloader sees it; None where it would refuse to start it."""
    if len(data) < _HEADER.size:
        return None
    magic, _, header_size, protected_size, body_size, _, major, minor, revision, _ = _HEADER.unpack_from(data)
    end = header_size + body_size + protected_size
    if magic != IMAGE_MAGIC or header_size < _HEADER.size or end + _TLV_HEAD.size > len(data):
        return None
    tlv_magic, total = _TLV_HEAD.unpack_from(data, end)
    stop = min(end + total, len(data))
    at = end + _TLV_HEAD.size
    while tlv_magic == _TLV_MAGIC and at + _TLV.size <= stop:
        kind, length = _TLV.unpack_from(data, at)
        value = data[at + _TLV.size : at + _TLV.size + length]
        if kind == _TLV_SHA256:
            if value != hashlib.sha256(data[:end]).digest():
                return None
            return StoredImage(version=ImageVersion(major=major, minor=minor, revision=revision), sha256=value)
        at += _TLV.size + length
    return None


@unique
class SwapType(IntEnum):
    """What the bootloader does at the next start (MCUboot "Image trailer")."""

    NONE = 1
    TEST = 2
    PERMANENT = 3
    REVERT = 4
    """The running image is on trial: unless it is confirmed, the other one comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotState:
    """One row of the image state list."""

    slot: int
    image: StoredImage
    active: bool
    confirmed: bool
    pending: bool
    permanent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Upload:
    length: int
    sha256: bytes | None
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadReply:
    """Answer to one chunk: where to go on, and at the end whether the whole file's hash matched."""

    offset: int
    match: bool | None = None
    erased: bool = False


class ImageSlots:
    """Two slots and what the bootloader keeps about them. Everything here lives in flash: a power cut keeps it.

    Parameters
    ----------
    running : StoredImage
        What runs in the primary slot, confirmed.
    slot_bytes : int
    """

    def __init__(self, running: StoredImage, *, slot_bytes: int = SLOT_BYTES) -> None:
        self._primary = running
        self._secondary: StoredImage | None = None
        self._swap = SwapType.NONE
        self._upload: _Upload | None = None
        self._slot_bytes = slot_bytes

    @property
    def running(self) -> StoredImage:
        """The image that runs."""
        return self._primary

    @property
    def swap(self) -> SwapType:
        """What the next start does."""
        return self._swap

    @property
    def uploaded_bytes(self) -> int:
        """How far an unfinished upload has come; 0 where there is none."""
        return 0 if self._upload is None else len(self._upload.data)

    def states(self) -> list[SlotState]:
        """Both slots as the image state command lists them (Zephyr ``img_mgmt_state_flags``)."""
        on_trial = self._swap is SwapType.REVERT
        rows = [
            SlotState(slot=0, image=self._primary, active=True, confirmed=not on_trial, pending=False, permanent=False)
        ]
        if self._secondary is not None:
            permanent = self._swap is SwapType.PERMANENT
            rows.append(
                SlotState(
                    slot=1,
                    image=self._secondary,
                    active=False,
                    confirmed=on_trial,
                    pending=permanent or self._swap is SwapType.TEST,
                    permanent=permanent,
                )
            )
        return rows

    def erase(self) -> ImageError | None:
        """Empty the secondary slot, unless the bootloader still needs it."""
        if self._swap is not SwapType.NONE:
            return ImageError.NO_FREE_SLOT
        self._secondary = self._upload = None
        return None

    def mark(self, sha256: bytes | None, *, confirm: bool) -> ImageError | None:
        """Set an image for test or for good, or confirm the running one."""
        running = sha256 is None or sha256 == self._primary.sha256
        if running and confirm:
            if self._swap is SwapType.REVERT:
                self._swap = SwapType.NONE
            return None
        if sha256 is None:
            return ImageError.HASH_NOT_FOUND
        if running:
            return ImageError.SETTING_TEST_TO_ACTIVE_DENIED
        if self._secondary is None or self._secondary.sha256 != sha256:
            return ImageError.HASH_NOT_FOUND
        if self._swap is SwapType.REVERT:
            return ImageError.NO_FREE_SLOT
        self._swap = SwapType.PERMANENT if confirm else SwapType.TEST
        return None

    def upload(
        self, *, offset: int, data: bytes, length: int | None, sha256: bytes | None, upgrade: bool
    ) -> UploadReply | ImageError:
        """Take one chunk. A wrong offset is answered with the right one; the same file begins where it broke off."""
        if offset == 0:
            begun = self._begin(data, length, sha256, upgrade)
            if begun is not None:
                return begun
        upload = self._upload
        if upload is None or offset != len(upload.data):
            return UploadReply(offset=0 if upload is None else len(upload.data))
        if offset + len(data) > upload.length:
            return ImageError.INVALID_IMAGE_DATA_OVERRUN
        upload = replace(upload, data=upload.data + data)
        if len(upload.data) < upload.length:
            self._upload = upload
            return UploadReply(offset=len(upload.data), erased=offset == 0)
        self._upload = None
        self._secondary = find_stored_image(upload.data)
        match = upload.sha256 is None or hashlib.sha256(upload.data).digest() == upload.sha256
        return UploadReply(offset=upload.length, match=match, erased=offset == 0)

    def _begin(
        self, data: bytes, length: int | None, sha256: bytes | None, upgrade: bool
    ) -> UploadReply | ImageError | None:
        """First chunk: None where the upload starts with it."""
        if length is None:
            return ImageError.INVALID_LENGTH
        upload = self._upload
        if upload is not None and sha256 is not None and (upload.sha256, upload.length) == (sha256, length):
            # the same file again: its first chunk is here already
            return UploadReply(offset=len(upload.data)) if upload.data else None
        if self._swap is not SwapType.NONE:
            return ImageError.NO_FREE_SLOT
        if length > self._slot_bytes:
            return ImageError.INVALID_IMAGE_TOO_LARGE
        if length < _HEADER.size or len(data) < _HEADER.size:
            return ImageError.INVALID_IMAGE_HEADER
        magic, _, _, _, _, _, major, minor, revision, _ = _HEADER.unpack_from(data)
        if magic != IMAGE_MAGIC:
            return ImageError.INVALID_IMAGE_HEADER_MAGIC
        if upgrade and ImageVersion(major=major, minor=minor, revision=revision) <= self._primary.version:
            return ImageError.CURRENT_VERSION_IS_NEWER
        self._secondary = None
        self._upload = _Upload(length=length, sha256=sha256, data=b"")
        return None

    def damage(self, at: int) -> None:
        """Flip a byte of what was uploaded, as a flash that wrote badly does."""
        if self._upload is not None and at < len(self._upload.data):
            data = bytearray(self._upload.data)
            data[at] ^= 0xFF
            self._upload = replace(self._upload, data=bytes(data))

    def restart(self) -> None:
        """Start: the bootloader swaps, reverts, or leaves all as it is."""
        if self._swap is SwapType.NONE:
            return
        other = self._secondary
        swap, self._swap = self._swap, SwapType.NONE
        if other is None:
            return
        self._primary, self._secondary = other, self._primary
        if swap is SwapType.TEST:
            self._swap = SwapType.REVERT
