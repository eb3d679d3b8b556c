r"""HCI captures in the btsnoop format, which Wireshark and ``btmon -r`` open.

::

    file    "btsnoop\0"  version u32 = 1  datalink u32 = 1002 (HCI UART, H4)
    record  original length u32  included length u32  flags u32  drops u32  time u64  packet
    flags   bit 0: 1 from the controller; bit 1: 1 for commands and events
    time    microseconds since the year 0; all numbers big-endian

Source: RFC 1761 and the Bluetooth extension that Frontline published; the same as Android's ``btsnoop_hci.log``.
"""

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bumble.snoop import Snooper

from rig.ble.errors import FrontMisuseError

_HEADER: Final = struct.Struct(">8sII")
_RECORD: Final = struct.Struct(">IIIIQ")
_MAGIC: Final = b"btsnoop\0"
_H4: Final = 1002

_EPOCH_US: Final = 0x00DCDDB30F2F8000
"""Microseconds from the year 0 to 1970, the offset that btsnoop readers use."""

_COMMAND: Final = 0x01
_EVENT: Final = 0x04


@dataclass(frozen=True, slots=True, kw_only=True)
class SnoopRecord:
    """One HCI packet of a capture: H4 type byte first."""

    from_controller: bool
    t_utc_us: int
    packet: bytes


class SnoopFile(Snooper):
    """Writes every HCI packet of one controller to a file.

    Parameters
    ----------
    path : Path
        The file, written anew.
    limit_bytes : int
        Size at which the capture ends; packets after it are counted, not written.
    utc_ns : callable
        Stamps the packets.
    """

    def __init__(
        self, path: Path, *, limit_bytes: int = 256 * 1024 * 1024, utc_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self.path = path
        self.packets = 0
        self.dropped = 0
        self._left = limit_bytes
        self._utc_ns = utc_ns
        self._file = path.open("wb")
        self._file.write(_HEADER.pack(_MAGIC, 1, _H4))

    def snoop(self, hci_packet: bytes, direction: Snooper.Direction) -> None:
        """Write one packet."""
        size = _RECORD.size + len(hci_packet)
        if self._file.closed or size > self._left:
            self.dropped += 1
            return
        self._left -= size
        flags = int(direction) | (2 if hci_packet[0] in {_COMMAND, _EVENT} else 0)
        stamp = self._utc_ns() // 1000 + _EPOCH_US
        self._file.write(_RECORD.pack(len(hci_packet), len(hci_packet), flags, self.dropped, stamp) + hci_packet)
        self.packets += 1

    def close(self) -> None:
        """End the capture."""
        self._file.close()


def read_snoop(path: Path) -> Iterator[SnoopRecord]:
    """Read a capture back, record by record.

    Raises
    ------
    FrontMisuseError
        The file is no btsnoop file of HCI packets, or ends within a record.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or _HEADER.unpack(head) != (_MAGIC, 1, _H4):
            raise FrontMisuseError(f"{path}: no btsnoop file of H4 packets. Next: name a capture that a bench wrote")
        while start := file.read(_RECORD.size):
            if len(start) < _RECORD.size:
                raise FrontMisuseError(f"{path}: ends within a record header")
            _, included, flags, _, stamp = _RECORD.unpack(start)
            packet = file.read(included)
            if len(packet) < included:
                raise FrontMisuseError(f"{path}: ends within a packet of {included} bytes")
            yield SnoopRecord(from_controller=bool(flags & 1), t_utc_us=stamp - _EPOCH_US, packet=packet)
