"""A management server as MCUmgr has it: SMP frames in, SMP frames out. No I/O, no clock.

Frame (Zephyr "SMP Protocol Specification"), big-endian: operation and version (u8), flags (u8), length (u16), group
(u16), sequence (u8), command (u8), then a CBOR map. On a serial line a frame travels as base64 in lines of at most 127
bytes: ``06 09`` opens, ``04 14`` continues, newline ends; inside stand length (u16), frame and CRC-16/XMODEM.
"""

import base64
import binascii
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, unique
from io import BytesIO
from typing import Final

import cbor2

from rig.ble.firmware.images import (
    ImageError,
    ImageSlots,
    ImageVersion,
    SlotState,
    find_stored_image,
    make_image,
)

SMP_SERVICE_UUID: Final = "8d53dc1d-1db7-4cd3-868b-8a527460aa84"
SMP_CHARACTERISTIC_UUID: Final = "da2e7828-fbce-4e01-ae9e-261174997c48"
"""Service and its one characteristic: write without response, notify (Zephyr "SMP over Bluetooth")."""

HEADER: Final = struct.Struct(">BBHHBB")
MAX_FRAME_BYTES: Final = 2048
"""Bytes of a whole frame that the tag takes (CONFIG_MCUMGR_TRANSPORT_NETBUF_SIZE); a longer one is dropped."""
_BUFFERS: Final = 4
_SERIAL_LINE_BYTES: Final = 127
_START, _CONTINUE = b"\x06\x09", b"\x04\x14"
_GROUP_OS, _GROUP_IMAGE = 0, 1
_OP_READ, _OP_WRITE = 0, 2
_VERSION_2: Final = 1 << 3
_RC_INVALID: Final = 3
_RC_NOT_SUPPORTED: Final = 8
"""MGMT_ERR_EINVAL and MGMT_ERR_ENOTSUP: what any group answers to a request it cannot read or does not know."""


@unique
class SmpAction(Enum):
    """What the tag does once a reply is out."""

    RESET = "reset"
    POWER_CUT = "power_cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmpReply:
    """What comes of a frame.

    Attributes
    ----------
    frame : bytes or None
        None where nothing is answered.
    delay_s : float
        How long the tag takes for it: erasing flash.
    action : SmpAction or None
    """

    frame: bytes | None
    delay_s: float = 0.0
    action: SmpAction | None = None


@dataclass(slots=True, kw_only=True)
class SmpFaults:
    """What may go wrong; all off.

    Attributes
    ----------
    drop_requests, drop_replies : int
        So many of the next frames are lost on the way in, or out.
    erase_s : float
        Seconds that erasing a slot takes, before the first chunk is answered.
    power_cut_at : int or None
        The battery is pulled when an upload has come so far, bytes; happens once.
    damage_at : int or None
        This byte of the upload is written wrong; happens once.
    refuse_rc : int or None
        Every image command is refused with this code of the image group.
    """

    drop_requests: int = 0
    drop_replies: int = 0
    erase_s: float = 0.0
    power_cut_at: int | None = None
    damage_at: int | None = None
    refuse_rc: int | None = None


@dataclass(slots=True)
class SmpServer:
    """OS and image groups over two slots.

    Attributes
    ----------
    slots : ImageSlots
    faults : SmpFaults
    frames : int
        Frames that came in.
    restarts : int
        How often the tag has started again.

    Notes
    -----
    One server may be reached by radio and by wire: calls from several threads take turns.
    """

    slots: ImageSlots
    faults: SmpFaults = field(default_factory=SmpFaults)
    frames: int = 0
    restarts: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def version(self) -> str:
        """Version of the running image, as the tag tells it everywhere."""
        return str(self.slots.running.version)

    def restart(self) -> None:
        """Start again; the bootloader may swap the images."""
        with self._lock:
            self.restarts += 1
            self.slots.restart()

    def handle(self, frame: bytes) -> SmpReply:
        """Take one frame. Bytes that are none get no answer."""
        with self._lock:
            return self._handle(frame)

    def _handle(self, frame: bytes) -> SmpReply:
        self.frames += 1
        if self.faults.drop_requests:
            self.faults.drop_requests -= 1
            return SmpReply(frame=None)
        if len(frame) < HEADER.size:
            return SmpReply(frame=None)
        op_version, _, length, group, sequence, command = HEADER.unpack_from(frame)
        op = op_version & 0b111
        if op not in (_OP_READ, _OP_WRITE) or length != len(frame) - HEADER.size:
            return SmpReply(frame=None)
        body = _find_map(frame[HEADER.size :])
        done = _Refused(_RC_INVALID) if body is None else self._dispatch(group, command, op, body)
        if isinstance(done, _Refused):
            done = _Done({"err": {"group": group, "rc": done.rc}} if op_version & _VERSION_2 else {"rc": done.rc})
        payload = cbor2.dumps(done.body)
        head = HEADER.pack(op_version | 1, 0, len(payload), group, sequence, command)
        if self.faults.drop_replies or done.action is SmpAction.POWER_CUT:
            self.faults.drop_replies = max(0, self.faults.drop_replies - 1)
            return SmpReply(frame=None, delay_s=done.delay_s, action=done.action)
        return SmpReply(frame=head + payload, delay_s=done.delay_s, action=done.action)

    def _dispatch(self, group: int, command: int, op: int, body: dict[str, object]) -> "_Done | _Refused":
        match (group, command, op):
            case (0, 0, 2):
                text = body.get("d")
                return _Done({"r": text}) if isinstance(text, str) else _Refused(_RC_INVALID)
            case (0, 5, 2):
                return _Done({}, action=SmpAction.RESET)
            case (0, 6, 0):
                return _Done({"buf_size": MAX_FRAME_BYTES, "buf_count": _BUFFERS})
            case (1, _, _) if self.faults.refuse_rc is not None:
                return _Refused(self.faults.refuse_rc)
            case (1, 0, 0):
                return _Done(_state_list(self.slots.states()))
            case (1, 0, 2):
                return self._mark(body)
            case (1, 1, 2):
                return self._upload(body)
            case (1, 5, 2):
                refused = self.slots.erase()
                return _Done({}, delay_s=self.faults.erase_s) if refused is None else _Refused(refused)
            case _:
                return _Refused(_RC_NOT_SUPPORTED)

    def _mark(self, body: dict[str, object]) -> "_Done | _Refused":
        sha256, confirm = body.get("hash"), body.get("confirm", False)
        if not isinstance(confirm, bool) or not (sha256 is None or isinstance(sha256, bytes)):
            return _Refused(_RC_INVALID)
        refused = self.slots.mark(sha256, confirm=confirm)
        return _Done(_state_list(self.slots.states())) if refused is None else _Refused(refused)

    def _upload(self, body: dict[str, object]) -> "_Done | _Refused":
        offset, data, upgrade = body.get("off"), body.get("data"), body.get("upgrade", False)
        length, sha256 = body.get("len"), body.get("sha")
        if not isinstance(offset, int) or offset < 0:
            return _Refused(ImageError.INVALID_OFFSET)
        if (
            not isinstance(data, bytes)
            or not isinstance(upgrade, bool | None)
            or not isinstance(length, int | None)
            or not isinstance(sha256, bytes | None)
            or body.get("image") not in (None, 0)
        ):
            return _Refused(_RC_INVALID)
        reply = self.slots.upload(offset=offset, data=data, length=length, sha256=sha256, upgrade=bool(upgrade))
        if isinstance(reply, ImageError):
            return _Refused(reply)
        faults, far = self.faults, self.slots.uploaded_bytes
        if faults.damage_at is not None and far > faults.damage_at:
            self.slots.damage(faults.damage_at)
            faults.damage_at = None
        action = None
        if faults.power_cut_at is not None and far >= faults.power_cut_at:
            faults.power_cut_at, action = None, SmpAction.POWER_CUT
        answer: dict[str, object] = {"off": reply.offset}
        if reply.match is not None:
            answer["match"] = reply.match
        return _Done(answer, delay_s=faults.erase_s if reply.erased else 0.0, action=action)


def make_server(version: ImageVersion, faults: SmpFaults | None = None) -> SmpServer:
    """Make the server of a tag that runs this version."""
    running = find_stored_image(make_image(version, b"emulated"))
    assert running is not None, "an image of our own is valid"
    return SmpServer(ImageSlots(running), faults or SmpFaults())


@dataclass(frozen=True, slots=True)
class _Refused:
    rc: int


@dataclass(frozen=True, slots=True)
class _Done:
    body: dict[str, object]
    delay_s: float = 0.0
    action: SmpAction | None = None


def _state_list(rows: list[SlotState]) -> dict[str, object]:
    return {
        "images": [
            {
                "slot": row.slot,
                "version": str(row.image.version),
                "hash": row.image.sha256,
                "bootable": True,
                "pending": row.pending,
                "confirmed": row.confirmed,
                "active": row.active,
                "permanent": row.permanent,
            }
            for row in rows
        ],
        "splitStatus": 0,
    }


def _find_map(payload: bytes) -> dict[str, object] | None:
    """Read the request's CBOR map; None for anything else, or where bytes follow it."""
    stream = BytesIO(payload)
    try:
        value = cbor2.load(stream)
    except (cbor2.CBORDecodeError, RecursionError, ValueError, OverflowError, MemoryError):
        return None
    if not isinstance(value, dict) or stream.read(1) or not all(isinstance(key, str) for key in value):
        return None
    return value


def encode_serial(frame: bytes) -> bytes:
    """Lines of a serial console that carry one frame."""
    inside = struct.pack(">H", len(frame) + 2) + frame + struct.pack(">H", binascii.crc_hqx(frame, 0))
    text = base64.b64encode(inside)
    step = (_SERIAL_LINE_BYTES - 3) // 4 * 4
    lines = [text[i : i + step] for i in range(0, len(text), step)]
    return b"".join((_CONTINUE if i else _START) + line + b"\n" for i, line in enumerate(lines))


class SerialFrames:
    """Finds frames among the lines of a serial console; everything else is left for whoever shares the line."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._inside = bytearray()
        self._open = False
        self.damaged = 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Give complete frames, and the bytes that belong to none."""
        frames: list[bytes] = []
        other = bytearray()
        self._line += data
        while (end := self._line.find(b"\n")) >= 0:
            line = bytes(self._line[:end]).rstrip(b"\r")
            raw = bytes(self._line[: end + 1])
            del self._line[: end + 1]
            if line[:2] not in (_START, _CONTINUE):
                other += raw
                continue
            if line[:2] == _START:
                self._inside.clear()
                self._open = True
            frame = self._take(line[2:]) if self._open else None
            if frame is not None:
                frames.append(frame)
        if self._line[:2] not in (b"", _START[:1], _CONTINUE[:1], _START, _CONTINUE):
            # no line of ours: the other user of the line may not end his with a newline
            other += self._line
            self._line.clear()
        elif len(self._line) > 2 * MAX_FRAME_BYTES:
            self._line.clear()
            self._drop()
        return frames, bytes(other)

    def _drop(self) -> None:
        self._open = False
        self._inside.clear()
        self.damaged += 1

    def _take(self, text: bytes) -> bytes | None:
        try:
            self._inside += base64.b64decode(text, validate=True)
        except binascii.Error:
            self._drop()
            return None
        if len(self._inside) < 2:
            return None
        (size,) = struct.unpack_from(">H", self._inside)
        if size > MAX_FRAME_BYTES + 2 or size < 2:
            self._drop()
            return None
        if len(self._inside) < size + 2:
            return None
        inside = bytes(self._inside[2 : size + 2])
        self._inside.clear()
        self._open = False
        frame, crc = inside[:-2], inside[-2:]
        if struct.pack(">H", binascii.crc_hqx(frame, 0)) != crc:
            self.damaged += 1
            return None
        return frame


class PacketFrames:
    """Joins GATT writes to frames by the length in the header; writes that begin in the middle are dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Give complete frames."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= HEADER.size:
            length = HEADER.size + int.from_bytes(self._buffer[2:4], "big")
            if length > MAX_FRAME_BYTES:
                self._buffer.clear()
                break
            if len(self._buffer) < length:
                break
            frames.append(bytes(self._buffer[:length]))
            del self._buffer[:length]
        return frames

    def clear(self) -> None:
        """Forget what came: the link is gone."""
        self._buffer.clear()


class SmpConsole:
    """The server on a serial line that something else uses too: what is no frame is handed on.

    Parameters
    ----------
    server : SmpServer
    on_restart : callable
        Takes the version that runs after a reset.
    """

    def __init__(self, server: SmpServer, on_restart: Callable[[str], None]) -> None:
        self._server = server
        self._on_restart = on_restart
        self._frames = SerialFrames()

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what came in; returns the answers, and the bytes that are for the line's other user."""
        frames, rest = self._frames.feed(data)
        answers = b""
        for frame in frames:
            reply = self._server.handle(frame)
            answers += encode_serial(reply.frame) if reply.frame is not None else b""
            if reply.action is not None:
                self._frames = SerialFrames()
                self._server.restart()
                self._on_restart(self._server.version)
        return answers, rest
