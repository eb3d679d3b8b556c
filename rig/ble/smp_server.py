"""The management server where a client finds it: a GATT service of a tag, and a serial console."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from rig.ble.firmware.smp import (
    SMP_CHARACTERISTIC_UUID,
    SMP_SERVICE_UUID,
    PacketFrames,
    SerialFrames,
    SmpAction,
    SmpReply,
    SmpServer,
    encode_serial,
)
from rig.ble.peripheral import Peripheral
from rig.ble.services import Access, GattCharacteristic, GattService, Guard
from rig.emulator.pty_port import PtyPort

_ATT_HEADER = 3
"""Bytes of a notification that are not the value."""


class SmpGatt:
    """The server as a GATT service; several writes may make one frame, and several notifications one answer.

    Parameters
    ----------
    server : SmpServer
    on_action : callable
        Called once an answer is out that the tag must act upon: a reset, or a battery that is pulled.
    guard : Guard
        What a link must be for its frames to be taken.
    """

    def __init__(
        self, server: SmpServer, on_action: Callable[[SmpAction], Awaitable[None]], *, guard: Guard = Guard.OPEN
    ) -> None:
        self._server = server
        self._on_action = on_action
        self._frames = PacketFrames()
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._characteristic = GattCharacteristic(
            uuid=SMP_CHARACTERISTIC_UUID,
            access=Access.WRITE_WITHOUT_RESPONSE | Access.NOTIFY,
            write=self._write,
            read_guard=guard,
            write_guard=guard,
        )
        self.service = GattService(uuid=SMP_SERVICE_UUID, characteristics=(self._characteristic,))

    def _write(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            self._queue.put_nowait(frame)

    def link_down(self) -> None:
        """Forget half a frame, and what is still to be answered."""
        self._frames.clear()
        while not self._queue.empty():
            self._queue.get_nowait()

    async def run(self, peripheral: Peripheral) -> None:
        """Answer, one frame at a time, until cancelled."""
        while True:
            reply = self._server.handle(await self._queue.get())
            if reply.delay_s:
                await asyncio.sleep(reply.delay_s)
            if reply.frame is not None and peripheral.connected:
                await self._send(peripheral, reply.frame)
            if reply.action is not None:
                await self._on_action(reply.action)

    async def _send(self, peripheral: Peripheral, frame: bytes) -> None:
        size = min(link.att_mtu for link in peripheral.device.connections.values()) - _ATT_HEADER
        for at in range(0, len(frame), size):
            await peripheral.notify(self._characteristic, frame[at : at + size])


class SmpSerialPort:
    """The server on a pseudo-terminal of its own, as on a tag's charging cradle. A thread answers; `close` ends it.

    Parameters
    ----------
    server : SmpServer
    link : Path, optional
        Symbolic link to make to the port.
    on_action : callable, optional
        Called, in the port's thread, for what the tag must act upon; without it the server starts again.
    """

    def __init__(
        self, server: SmpServer, link: Path | None = None, *, on_action: Callable[[SmpAction], None] | None = None
    ) -> None:
        self.server = server
        self._on_action = on_action
        self._port = PtyPort(link)
        self._frames = SerialFrames()
        self._wake_read, self._wake_write = os.pipe()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="smp", daemon=True)
        self._thread.start()

    @property
    def path(self) -> str:
        """What a client opens."""
        return self._port.path

    @property
    def name(self) -> str:
        """What a person should open: the link where there is one."""
        return self._port.name

    def _serve(self) -> None:
        while (data := self._port.read(self._wake_read)) is not None:
            frames, _ = self._frames.feed(data)
            for frame in frames:
                self._answer(self.server.handle(frame))

    def _answer(self, reply: SmpReply) -> None:
        if reply.delay_s and self._closing.wait(reply.delay_s):
            return
        if reply.frame is not None:
            self._port.write(encode_serial(reply.frame), patience_s=1.0)
        if reply.action is not None:
            self._frames = SerialFrames()
            if self._on_action is None:
                self.server.restart()
            else:
                self._on_action(reply.action)

    def close(self) -> None:
        """Unplug."""
        self._closing.set()
        os.write(self._wake_write, b"x")
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._port.close()
