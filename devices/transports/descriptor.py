"""A transport on a file descriptor: the event loop reads as soon as it is readable, and nothing polls.

Shared by every scheme whose bytes come through a non-blocking descriptor (serial port, pseudo-terminal, TCP socket).
"""

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from devices.clock import Clock
from devices.errors import TransportClosedError, TransportError, TransportLostError, TransportOpenError
from devices.transports.base import Chunk
from devices.transports.inbox import Inbox
from devices.transports.spec import TransportSpec

READ_SIZE = 65536
"""Bytes asked for in one read: more than a pty (4 KiB) or a UART driver holds, so that one wake-up is one read."""
SEND_SLICE = 65536
"""Bytes handed to the write queue at a time; bounds what waits in this process while the line is slow."""
_DRAIN_READS = 64
"""Reads at most to save what a dying descriptor still holds: 4 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """An open, non-blocking descriptor and how to let go of it."""

    fd: int
    release: Callable[[], None]


class _Pump:
    """One opening of a descriptor: reads into an inbox, writes a queue. Ends once, by loss or by close."""

    def __init__(
        self,
        descriptor: Descriptor,
        inbox: Inbox,
        spec: str,
        clock: Clock,
        decode: Callable[[bytes], bytes] | None,
        on_over: Callable[[], None],
    ) -> None:
        self._fd = descriptor.fd
        self._release = descriptor.release
        self._inbox = inbox
        self._spec = spec
        self._clock = clock
        self._decode = decode
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._out = bytearray()
        self._drained: asyncio.Future[None] | None = None
        self._reading = False
        self._lock = asyncio.Lock()

    def start(self) -> None:
        self._loop.add_reader(self._fd, self._on_readable)
        self._reading = True

    def resume(self) -> None:
        if not self._reading and not self._inbox.is_over and not self._inbox.is_full:
            self.start()

    def _on_readable(self) -> None:
        self._read_once()
        if self._reading and self._inbox.is_full:
            self._loop.remove_reader(self._fd)
            self._reading = False

    def _read_once(self) -> bool:
        """Read what there is; False when there was nothing or the line is gone."""
        try:
            data = os.read(self._fd, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            self._finish(TransportLostError, _reason(exc))
            return False
        if not data:
            self._finish(TransportLostError, "the other side hung up")
            return False
        t_rx_mono_ns = self._clock.mono_ns()
        if self._decode is not None:
            data = self._decode(data)
        if data:
            self._inbox.put(Chunk(data=data, t_rx_mono_ns=t_rx_mono_ns, t_rx_utc_ns=self._clock.utc_ns()))
        return True

    def write_soon(self, data: bytes | memoryview) -> None:
        """Queue bytes; they go out as soon as the descriptor takes them."""
        if self._inbox.is_over:
            return
        idle = not self._out
        self._out += data
        if idle:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._out:
                n_written = os.write(self._fd, self._out)
                if n_written == 0:
                    break
                del self._out[:n_written]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as exc:
            # The reader may still hold bytes that came before the loss.
            for _ in range(_DRAIN_READS):
                if not self._read_once():
                    break
            self._finish(TransportLostError, _reason(exc))
            return
        if self._out:
            self._loop.add_writer(self._fd, self._flush)
        else:
            self._loop.remove_writer(self._fd)
            self._wake_sender()

    async def send(self, data: bytes) -> None:
        async with self._lock:
            view = memoryview(data)
            while view:
                self._inbox.raise_if_over()
                self.write_soon(view[:SEND_SLICE])
                view = view[SEND_SLICE:]
                while self._out:
                    self._inbox.raise_if_over()
                    self._drained = self._loop.create_future()
                    try:
                        await self._drained
                    finally:
                        self._drained = None
            self._inbox.raise_if_over()

    def close(self) -> None:
        self._finish(TransportClosedError, "closed")

    def _finish(self, error: type[TransportError], reason: str) -> None:
        was_over = self._inbox.is_over
        self._inbox.finish(error, f"{self._spec}: {reason}")
        if was_over:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._reading = False
        self._out.clear()
        self._wake_sender()
        self._release()
        self._on_over()

    def _wake_sender(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)


class DescriptorTransport:
    """Base of the transports on a descriptor; a scheme implements ``_acquire``."""

    LOST_HINT: ClassVar[str] = ""

    def __init__(self, spec: TransportSpec, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self._inbox = Inbox(spec.text)
        self._inbox.finish(TransportClosedError, f"{spec.text}: not open; call open() first")
        self._pump: _Pump | None = None

    @property
    def spec(self) -> str:
        """The specification string this transport was made from."""
        return self._spec.text

    async def open(self) -> None:
        """Open the descriptor and start to read."""
        if not self._inbox.is_over:
            raise TransportOpenError(f"{self.spec}: is open already; close it first")
        descriptor = await self._acquire()
        self._inbox = Inbox(self.spec)
        self._pump = _Pump(descriptor, self._inbox, self.spec, self._clock, self._decoder(), self._over)
        self._pump.start()
        try:
            await self._greet()
        except BaseException:
            await self.close()
            raise

    async def receive(self) -> Chunk:
        """Return the next bytes that came in."""
        chunk = await self._inbox.get()
        if self._pump is not None:
            self._pump.resume()
        return chunk

    async def send(self, data: bytes) -> None:
        """Hand all bytes to the operating system."""
        self._inbox.raise_if_over()
        if self._pump is not None:
            await self._pump.send(self._encode(data))

    async def close(self) -> None:
        """Release the descriptor."""
        if self._pump is not None:
            self._pump.close()
            self._pump = None

    async def _acquire(self) -> Descriptor:
        """Open the port; raise ``TransportOpenError``."""
        raise NotImplementedError

    async def _greet(self) -> None:
        """Do what the protocol of the link asks for before it carries data."""

    def _over(self) -> None:
        """Be told that the descriptor was lost or closed."""

    def _decoder(self) -> Callable[[bytes], bytes] | None:
        """Return what takes the link's own framing out of the bytes, or None where there is none."""
        return None

    def _encode(self, data: bytes) -> bytes:
        return data


_REASONS = {
    errno.EIO: "the port is gone (input/output error)",
    errno.ENXIO: "the port is gone (no such device)",
    errno.ENODEV: "the port is gone (no such device)",
    errno.EBADF: "the port is gone (bad descriptor)",
}


def _reason(exc: OSError) -> str:
    return _REASONS.get(exc.errno or 0, exc.strerror or str(exc))
