"""A transport whose line has faults: wraps any `Transport`, at the driver's end of the line or at the device's.

Untouched bytes keep their chunk and its stamps. Of what a fault held back or changed, the stamp is when it goes on: the
line gave it then.
"""

import asyncio
import contextlib
from collections import deque
from typing import Final, Literal

from devices.clock import Clock
from devices.errors import TransportClosedError, TransportError, TransportLostError, TransportOpenError
from devices.transports.base import Chunk, Transport
from rig.faults.line import LineFaults

End = Literal["driver", "device"]

_GONE: Final = "the port vanished (a fault of the bench)"


class FaultyTransport:
    """One end of a line with faults.

    Parameters
    ----------
    inner : Transport
        The end that is wrapped.
    faults : LineFaults
        May be shared with whoever puts faults in and out while this runs.
    clock : Clock
        What ``LineFaults`` are driven by.
    end : str
        ``driver``: what is received comes from the device; ``device``: what is sent does. At the device's end a port
        that vanishes is ``inner`` being closed and opened again.

    Attributes
    ----------
    inner : Transport
    """

    def __init__(self, inner: Transport, faults: LineFaults, clock: Clock, *, end: End = "driver") -> None:
        self.inner = inner
        self.faults = faults
        self._clock = clock
        self._end = end
        self._received, self._sent = (faults.up, faults.down) if end == "driver" else (faults.down, faults.up)
        self._ready: deque[Chunk] = deque()
        self._last_ns = 0
        self._wake = asyncio.Event()
        self._wake_sender = asyncio.Event()
        self._sending = asyncio.Lock()
        self._sender: asyncio.Task[None] | None = None
        self._is_open = False
        self._is_lost = False
        self._is_receiving = False
        self._received.on_change.append(self._wake.set)
        self._sent.on_change.append(self._wake_sender.set)
        faults.on_plug.append(self._plug_changed)

    @property
    def spec(self) -> str:
        """The specification string of the transport inside."""
        return self.inner.spec

    async def open(self) -> None:
        """Open the line; refused while the port is gone."""
        if self.faults.is_unplugged and not self._is_open:
            if self._end == "driver":
                raise TransportOpenError(f"{self.spec}: {_GONE}. Next: wait for the end of the fault")
            self._is_open = True
            return
        await self.inner.open()
        self._is_open, self._is_lost = True, False
        self._ready.clear()

    async def receive(self) -> Chunk:
        """Return what the line hands on next."""
        if self._is_receiving:
            raise TransportError(f"{self.spec}: another task waits in receive() already; only one may")
        self._is_receiving = True
        try:
            while not self._ready:
                await self._turn()
            return self._ready.popleft()
        finally:
            self._is_receiving = False

    async def send(self, data: bytes) -> None:
        """Send; what a fault holds back goes out later, and is not waited for."""
        self._raise_if_gone()
        if self._sent.is_idle:
            async with self._sending:
                await self.inner.send(data)
            return
        await self._put_out(data)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_later(), name=f"faults of {self.spec}")
        self._wake_sender.set()

    async def close(self) -> None:
        """Close the line."""
        self._is_open = self._is_lost = False
        self._ready.clear()
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        await self.inner.close()
        self._wake.set()

    # --- what comes in --------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        """Wait for the transport inside, or for the time of what is held back."""
        self._raise_if_lost()
        if self._end == "device" and self._is_open and self.faults.is_unplugged:
            self._wake.clear()
            await self._wake.wait()
            return
        try:
            if self._received.is_idle:
                self._put_in(await self.inner.receive())
                return
            await self._turn_with_faults()
        except TransportClosedError:
            self._raise_if_lost()
            # closed because the port vanished: at the device's end the plug is waited for
            if not (self._end == "device" and self._is_open):
                raise
            self._wake.clear()
            if self.faults.is_unplugged:
                await self._wake.wait()

    async def _turn_with_faults(self) -> None:
        due_ns = self._received.due_ns
        now_ns = self._clock.mono_ns()
        if due_ns is not None and due_ns <= now_ns:
            self._release(now_ns)
            return
        self._wake.clear()
        receiving = asyncio.create_task(self.inner.receive())
        waits: list[asyncio.Task[object]] = [asyncio.create_task(self._wake.wait())]
        if due_ns is not None:
            waits.append(asyncio.create_task(self._clock.sleep_until(due_ns)))
        try:
            await asyncio.wait({receiving, *waits}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (receiving, *waits):
                task.cancel()
            await asyncio.gather(receiving, *waits, return_exceptions=True)
            # cancelling loses nothing, also not what came in just now
            if not receiving.cancelled() and receiving.exception() is None:
                self._put_in(receiving.result())
        if not receiving.cancelled():
            error = receiving.exception()
            if isinstance(error, TransportLostError):
                self._release(self._clock.mono_ns())
            if error is not None and not self._ready:
                raise error

    def _put_in(self, chunk: Chunk) -> None:
        if self._received.is_idle:
            self._last_ns = chunk.t_rx_mono_ns
            self._ready.append(chunk)
            return
        self._take_in(chunk.data, chunk.t_rx_mono_ns, chunk.t_rx_utc_ns)

    def _release(self, now_ns: int) -> None:
        self._take_in(b"", now_ns, self._clock.utc_ns())

    def _take_in(self, data: bytes, t_ns: int, t_utc_ns: int) -> None:
        t_ns = max(t_ns, self._last_ns)
        for piece in self._received.take(data, t_ns):
            self._last_ns = t_ns
            self._ready.append(Chunk(data=piece, t_rx_mono_ns=t_ns, t_rx_utc_ns=t_utc_ns))

    # --- what goes out --------------------------------------------------------------------------------------------

    async def _put_out(self, data: bytes) -> None:
        async with self._sending:
            for piece in self._sent.take(data, self._clock.mono_ns()):
                await self.inner.send(piece)

    async def _send_later(self) -> None:
        while True:
            self._wake_sender.clear()
            due_ns = self._sent.due_ns
            if due_ns is None:
                await self._wake_sender.wait()
                continue
            if due_ns > self._clock.mono_ns():
                await _first(self._wake_sender, self._clock, due_ns)
                continue
            with contextlib.suppress(TransportError):
                await self._put_out(b"")

    # --- the plug -------------------------------------------------------------------------------------------------

    async def _plug_changed(self) -> None:
        if not self._is_open:
            return
        if self.faults.is_unplugged:
            self._is_lost = self._end == "driver"
            self._ready.clear()
            await self.inner.close()
        elif self._end == "device":
            await self.inner.open()
        self._wake.set()

    def _raise_if_lost(self) -> None:
        if self._is_lost and not self._ready:
            raise TransportLostError(f"{self.spec}: {_GONE}")

    def _raise_if_gone(self) -> None:
        self._raise_if_lost()
        if self._end == "device" and self._is_open and self.faults.is_unplugged:
            raise TransportLostError(f"{self.spec}: {_GONE}")


async def _first(event: asyncio.Event, clock: Clock, due_ns: int) -> None:
    """Wait for an event or a time, whatever is first."""
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(event.wait()),
        asyncio.create_task(clock.sleep_until(due_ns)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
