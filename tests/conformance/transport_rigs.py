"""The other end of each transport, played for real: pseudo-terminals, a TCP server, an RFC 2217 server, files."""

import array
import asyncio
import contextlib
import fcntl
import itertools
import os
import select
import socket
import termios
import threading
import time
import tty
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import serial
from serial import rfc2217

from devices.capture import CaptureHeader, CaptureWriter, CapturingTransport, RecordKind
from devices.clock import SystemClock
from devices.transports import Transport, open_transport
from rig.faults.bytes import Split
from rig.faults.line import LineFaults
from rig.faults.transport import FaultyTransport
from tests.support import LOOPBACK, free_port

_names = itertools.count()


class TransportRig(ABC):
    """Makes a transport and plays the device at its other end."""

    scheme: ClassVar[str]
    can_be_lost: ClassVar[bool] = True
    can_be_absent: ClassVar[bool] = True
    is_live: ClassVar[bool] = True
    """Whether a device is there to hear, and to speak while the transport is open."""
    is_exclusive: ClassVar[bool] = False
    big_bytes: ClassVar[int] = 1 << 20

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    @abstractmethod
    def spec(self) -> str: ...

    def make(self) -> Transport:
        return open_transport(self.spec)

    async def plug(self) -> None:  # noqa: B027 - not every port has it
        """Make the port exist."""

    async def attach(self, transport: Transport) -> None:  # noqa: B027 - not every port has it
        """The transport was opened: take up the other end."""

    async def load(self, data: bytes) -> None:  # noqa: B027 - not every port has it
        """Make ``data`` come in after the next opening (recordings)."""

    async def send(self, data: bytes) -> None:
        raise NotImplementedError

    async def read(self, n: int) -> bytes:
        raise NotImplementedError

    async def taken(self) -> None:  # noqa: B027 - not every port has it
        """Return once the transport has read everything that was sent."""

    async def unplug(self) -> None:  # noqa: B027 - not every port has it
        """Make the port vanish."""

    async def stop(self) -> None:
        await self.unplug()


class _Terminal:
    """The master of a pseudo-terminal, whose slave is held open as an emulator does."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self.slave)
        self.n_written = 0

    async def write(self, data: bytes) -> None:
        await _write(self.master, data)
        self.n_written += len(data)

    async def read(self, n: int) -> bytes:
        return await _read(self.master, n)

    async def drained(self) -> None:
        """Return once the slave was read empty; to be called right after a write, before the loop runs.

        A worker of the kernel carries written bytes to the slave, late on a busy machine: an empty slave may be one
        that they have not reached. The reader runs in this loop, so until it is let run they can only arrive.
        """
        deadline = time.monotonic() + 10
        while not self._n_readable():
            assert time.monotonic() < deadline, "the bytes never reached the slave"
            time.sleep(0.0005)  # noqa: ASYNC251 - the loop must not run here
        while self._n_readable():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.001)

    def _n_readable(self) -> int:
        n = array.array("i", [0])
        fcntl.ioctl(self.slave, termios.FIONREAD, n)
        return n[0]

    def close(self) -> None:
        os.close(self.slave)
        os.close(self.master)


async def _write(fd: int, data: bytes) -> None:
    loop = asyncio.get_running_loop()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            ready = loop.create_future()
            loop.add_writer(fd, _once, ready)
            try:
                await ready
            finally:
                loop.remove_writer(fd)


async def _read(fd: int, n: int) -> bytes:
    loop = asyncio.get_running_loop()
    got = bytearray()
    while len(got) < n:
        try:
            got += os.read(fd, n - len(got))
        except BlockingIOError:
            ready = loop.create_future()
            loop.add_reader(fd, _once, ready)
            try:
                await ready
            finally:
                loop.remove_reader(fd)
    return bytes(got)


def _once(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


class PtyRig(TransportRig):
    scheme = "pty"
    is_exclusive = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.link = folder / "port"
        self.terminal: _Terminal | None = None

    @property
    def spec(self) -> str:
        return f"pty:{self.link}"

    async def plug(self) -> None:
        self.terminal = _Terminal()
        self.link.symlink_to(self.terminal.path)

    async def send(self, data: bytes) -> None:
        assert self.terminal
        await self.terminal.write(data)

    async def read(self, n: int) -> bytes:
        assert self.terminal
        return await self.terminal.read(n)

    async def taken(self) -> None:
        assert self.terminal
        await self.terminal.drained()

    async def unplug(self) -> None:
        if self.terminal:
            self.link.unlink()
            self.terminal.close()
            self.terminal = None


class SerialRig(PtyRig):
    """pyserial on a pseudo-terminal: all of the driver but the UART."""

    scheme = "serial"

    @property
    def spec(self) -> str:
        return f"serial:{self.link}?baud=4800"


class CapturedRig(PtyRig):
    """A capture is a transport too."""

    def make(self) -> Transport:
        clock = SystemClock()
        header = CaptureHeader(
            device_id="tag-1", transport=self.spec, tagrig_version="0", t_start_mono_ns=0, t_start_utc_ns=0
        )
        self.captured = CapturingTransport(super().make(), self.folder / f"{next(_names)}.tagcap", header, clock=clock)
        return self.captured

    async def stop(self) -> None:
        await super().stop()
        self.captured.close_capture()


class FaultyRig(PtyRig):
    """A line that may have faults, and has none."""

    def make(self) -> Transport:
        return FaultyTransport(super().make(), LineFaults(), SystemClock())


class CutRig(PtyRig):
    """A line with faults that harm nothing: bytes come and go in other pieces."""

    def make(self) -> Transport:
        faults = LineFaults()
        faults.up.put("cut", Split(piece_bytes=1500, pause_ms=0))
        faults.down.put("cut", Split(piece_bytes=700, pause_ms=0))
        return FaultyTransport(super().make(), faults, SystemClock())


class CreatedPtyRig(TransportRig):
    """The transport makes the terminal; a device opens it, and its going is not noticed."""

    scheme = "pty"
    can_be_lost = False
    can_be_absent = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.fd: int | None = None

    @property
    def spec(self) -> str:
        return f"pty:?link={self.folder / 'created'}"

    async def attach(self, transport: Transport) -> None:
        await self.unplug()
        self.fd = os.open(self.folder / "created", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    async def send(self, data: bytes) -> None:
        assert self.fd is not None
        await _write(self.fd, data)

    async def read(self, n: int) -> bytes:
        assert self.fd is not None
        return await _read(self.fd, n)

    async def unplug(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


class SocketRig(TransportRig):
    scheme = "socket"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.server: asyncio.Server | None = None
        self.writers: list[asyncio.StreamWriter] = []
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    @property
    def spec(self) -> str:
        return f"socket://{LOOPBACK}:{self.port}"

    async def plug(self) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.append(writer)
            self.connections.put_nowait((reader, writer))

        self.server = await asyncio.start_server(accept, LOOPBACK, self.port)

    async def attach(self, transport: Transport) -> None:
        self.reader, self.writer = await self.connections.get()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, n: int) -> bytes:
        return await self.reader.readexactly(n)

    async def unplug(self) -> None:
        if self.server is not None:
            self.server.close()
            for writer in self.writers:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            self.writers.clear()
            await self.server.wait_closed()
            self.server = None


class _PortWithoutModemLines(serial.Serial):
    """A pseudo-terminal has no modem lines; pyserial's server sets and reads them."""

    cts = dsr = ri = cd = False

    def _update_dtr_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...


class PortManagerServer:
    """pyserial's RFC 2217 server on a terminal, one client at a time."""

    def __init__(self, path: str, tcp_port: int) -> None:
        self.serial = _PortWithoutModemLines(path, timeout=0.01, exclusive=False)
        self.n_carried = 0
        """Bytes of the terminal that it read."""
        self._listener = socket.create_server((LOOPBACK, tcp_port))
        self._listener.settimeout(0.01)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """What pyserial's PortManager calls with its own answers."""
        with self._lock:
            self._client.sendall(data)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                self._client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client.settimeout(0.01)
            self._lock = threading.Lock()
            self._gone = threading.Event()
            self._manager = rfc2217.PortManager(self.serial, self)
            upward = threading.Thread(target=self._copy_up)
            upward.start()
            self._copy_down()
            upward.join()
            self._client.close()

    def _copy_down(self) -> None:
        while not self._stopping.is_set():
            try:
                data = self._client.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                break
            if not data:
                break
            out = b"".join(self._manager.filter(data))
            while out and not self._stopping.is_set():
                out = out[os.write(self.serial.fileno(), out[:1024]) :] if self._writable() else out
        self._gone.set()

    def _writable(self) -> bool:
        return bool(select.select([], [self.serial], [], 0.01)[1])

    def _copy_up(self) -> None:
        while not self._gone.is_set():
            if data := self.serial.read(self.serial.in_waiting or 1):
                self.n_carried += len(data)
                try:
                    with self._lock:
                        self._client.settimeout(10)
                        self._client.sendall(b"".join(self._manager.escape(data)))
                        self._client.settimeout(0.01)
                except OSError:
                    return

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._listener.close()
        self.serial.close()


class Rfc2217Rig(PtyRig):
    scheme = "rfc2217"
    is_exclusive = False
    big_bytes = 1 << 18  # the server works byte by byte

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.server: PortManagerServer | None = None

    @property
    def spec(self) -> str:
        return f"rfc2217://{LOOPBACK}:{self.port}?baud=4800"

    async def plug(self) -> None:
        await super().plug()
        assert self.terminal
        self.server = PortManagerServer(self.terminal.path, self.port)

    async def taken(self) -> None:
        """Its server reads in a thread of its own, and gives on what it read before it stops."""
        assert self.terminal
        assert self.server
        while self.server.n_carried < self.terminal.n_written:  # noqa: ASYNC110 - another thread counts
            await asyncio.sleep(0.001)

    async def unplug(self) -> None:
        if self.server is not None:
            await asyncio.to_thread(self.server.stop)
            self.server = None
        await super().unplug()


class MemoryRig(TransportRig):
    scheme = "memory"
    is_exclusive = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.name = f"conformance-{next(_names)}"
        self.device: Transport | None = None
        self.rest = b""

    @property
    def spec(self) -> str:
        return f"memory:{self.name}"

    @property
    def other_spec(self) -> str:
        return f"memory:{self.name}?end=device"

    async def plug(self) -> None:
        self.device = open_transport(self.other_spec)
        await self.device.open()

    async def send(self, data: bytes) -> None:
        assert self.device
        await self.device.send(data)

    async def read(self, n: int) -> bytes:
        assert self.device
        while len(self.rest) < n:
            self.rest += (await self.device.receive()).data
        got, self.rest = self.rest[:n], self.rest[n:]
        return got

    async def unplug(self) -> None:
        if self.device:
            await self.device.close()
            self.device = None
        self.rest = b""


class MemoryDeviceRig(MemoryRig):
    """The device's end, with a driver at the other."""

    can_be_lost = False
    can_be_absent = False

    @property
    def spec(self) -> str:
        return f"memory:{self.name}?end=device"

    @property
    def other_spec(self) -> str:
        return f"memory:{self.name}"

    async def plug(self) -> None: ...

    async def attach(self, transport: Transport) -> None:
        await self.unplug()
        await super().plug()


class FaultyDeviceRig(MemoryDeviceRig):
    """The device's end of a line that may have faults."""

    def make(self) -> Transport:
        return FaultyTransport(super().make(), LineFaults(), SystemClock(), end="device")


class RawReplayRig(TransportRig):
    scheme = "replay"
    can_be_lost = False
    is_live = False

    @property
    def file(self) -> Path:
        return self.folder / "recorded.nmea"

    @property
    def spec(self) -> str:
        return f"replay:{self.file}?pace=max"

    async def load(self, data: bytes) -> None:
        self.file.write_bytes(data)


class CaptureReplayRig(RawReplayRig):
    @property
    def file(self) -> Path:
        return self.folder / "recorded.tagcap"

    async def load(self, data: bytes) -> None:
        self.file.unlink(missing_ok=True)
        header = CaptureHeader(
            device_id="tag-1", transport="memory:x", tagrig_version="0", t_start_mono_ns=0, t_start_utc_ns=0
        )
        writer = CaptureWriter(self.file, header)
        for n, start in enumerate(range(0, len(data), 1000)):
            writer.write(RecordKind.RECEIVED, data[start : start + 1000], t_mono_ns=n * 1000, t_utc_ns=n * 1000)
        writer.close()


RIGS: list[type[TransportRig]] = [
    PtyRig,
    CreatedPtyRig,
    SerialRig,
    SocketRig,
    Rfc2217Rig,
    MemoryRig,
    MemoryDeviceRig,
    RawReplayRig,
    CaptureReplayRig,
    CapturedRig,
    FaultyRig,
    CutRig,
    FaultyDeviceRig,
]
