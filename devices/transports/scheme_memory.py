"""``memory:NAME``: a null modem inside the process. ``?end=device`` is the end that a test or an emulator plays.

It behaves as a plugged-in serial device: the device's end makes the port exist, closing it is pulling the plug, and
what it says while no driver listens is gone. Bounded: a sender waits while the other end's inbox is full.
"""

import asyncio

from devices.clock import Clock
from devices.errors import TransportClosedError, TransportLostError, TransportOpenError
from devices.transports.base import Chunk, Transport
from devices.transports.inbox import Inbox
from devices.transports.spec import TransportSpec

SLICE_BYTES = 4096
"""Bytes put into the other end's inbox at a time, as a pty would hand them on."""

_devices: dict[str, "MemoryTransport"] = {}
"""Device ends that are open, by name: what is plugged in."""


def from_spec(spec: TransportSpec, clock: Clock) -> Transport:
    """Return the transport for ``memory:NAME[?end=driver|device]``."""
    spec.check_options("end")
    if not spec.target:
        raise spec.error("expected a name, for example memory:tag-1")
    end = spec.choice("end", "driver", ("driver", "device"))
    return MemoryTransport(spec, clock, is_device=end == "device")


class MemoryTransport:
    """One end of a null modem.

    Parameters
    ----------
    is_device : bool
        Whether this is the end that makes the port exist.
    """

    def __init__(self, spec: TransportSpec, clock: Clock, *, is_device: bool) -> None:
        self._spec = spec
        self._clock = clock
        self.is_device = is_device
        self.peer: MemoryTransport | None = None
        self.inbox = Inbox(spec.text)
        self.inbox.finish(TransportClosedError, f"{spec.text}: not open; call open() first")
        self._lock = asyncio.Lock()

    @property
    def spec(self) -> str:
        """The specification string this transport was made from."""
        return self._spec.text

    async def open(self) -> None:
        """Plug in the device's end, or open the driver's."""
        name = self._spec.target
        if not self.inbox.is_over:
            raise TransportOpenError(f"{self.spec}: is open already; close it first")
        if self.is_device:
            if name in _devices:
                raise TransportOpenError(f"{self.spec}: is in use; another device end has this name")
            _devices[name] = self
        else:
            device = _devices.get(name)
            if device is None:
                raise TransportOpenError(
                    f"{self.spec}: nothing is plugged in under this name. Next: open 'memory:{name}?end=device' first"
                )
            if device.peer is not None:
                raise TransportOpenError(f"{self.spec}: is in use by another driver end")
            device.peer, self.peer = self, device
        self.inbox = Inbox(self.spec)

    async def receive(self) -> Chunk:
        """Return the next bytes that the other end sent."""
        return await self.inbox.get()

    async def send(self, data: bytes) -> None:
        """Hand all bytes to the other end; gone where nobody is there to hear a device."""
        self.inbox.raise_if_over()
        async with self._lock:
            view = memoryview(data)
            while view and self.peer is not None:
                inbox = self.peer.inbox
                if inbox.is_full:
                    await inbox.wait_for_change()
                    self.inbox.raise_if_over()
                    continue
                inbox.put(
                    Chunk(
                        data=bytes(view[:SLICE_BYTES]),
                        t_rx_mono_ns=self._clock.mono_ns(),
                        t_rx_utc_ns=self._clock.utc_ns(),
                    )
                )
                view = view[SLICE_BYTES:]
            self.inbox.raise_if_over()

    async def close(self) -> None:
        """Pull the plug of a device's end, or close the driver's."""
        self.inbox.finish(TransportClosedError, f"{self.spec}: closed")
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.peer = None
            peer.inbox.wake_senders()
            if not peer.is_device:
                peer.inbox.finish(TransportLostError, f"{self.spec}: the other side hung up")
        if self.is_device and _devices.get(self._spec.target) is self:
            del _devices[self._spec.target]
