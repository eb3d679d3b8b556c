"""A real port with faults: a relay between a device and a pseudo-terminal that the bridge opens instead of the port.

::

    faults = LineFaults()
    async with FaultProxy("serial:by-serial=FT9XQ2LB?baud=9600", link=Path("ports/tag-1"), faults=faults, clock=clock):
        ...                                  # the bridge: transport = "pty:ports/tag-1?flush=yes"
        await faults.unplug("pulled")        # its port vanishes; the device's stays open

A device that goes away takes the pseudo-terminal with it, and brings it back. Like a UART it waits for no reader:
bytes that nobody takes for a second are lost and counted.
"""

import asyncio
import contextlib
import random
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devices.backoff import Backoff
from devices.clock import Clock
from devices.errors import TransportClosedError, TransportEndedError, TransportError, TransportOpenError
from devices.transports import Transport, open_transport
from rig.errors import BenchBrokenError
from rig.faults.line import LineFaults
from rig.faults.transport import FaultyTransport

PATIENCE_S: Final = 1.0
"""How long bytes wait for a reader of the pseudo-terminal, seconds; a UART waits for nobody, but a busy reader is not
absent."""

_ABSENT: Final = "device is away"


class FaultProxy:
    """Relays both directions while it is entered.

    Parameters
    ----------
    device : str
        Specification of the device's port, as the bridge's configuration has it.
    link : Path
        Where the pseudo-terminal is found; a link, so that its name stays when it comes back.
    faults : LineFaults
    clock : Clock

    Attributes
    ----------
    bytes_lost : int
        Nobody read them.
    """

    def __init__(self, device: str, *, link: Path, faults: LineFaults, clock: Clock) -> None:
        self._device = open_transport(device, clock=clock)
        self._link = link
        self._faults = faults
        self._clock = clock
        self._host: Transport = FaultyTransport(
            open_transport(f"pty:?link={link}", clock=clock), faults, clock, end="device"
        )
        self._task: asyncio.Task[None] | None = None
        self.bytes_lost = 0

    @property
    def spec(self) -> str:
        """What the bridge opens."""
        return f"pty:{self._link}?flush=yes"

    async def __aenter__(self) -> Self:
        """Open the device's port and make the pseudo-terminal.

        Raises
        ------
        TransportOpenError
            The device's port cannot be opened: the first time this is a mistake and no fault.
        """
        self._link.parent.mkdir(parents=True, exist_ok=True)
        await self._device.open()
        try:
            await self._host.open()
        except BaseException:
            await self._device.close()
            raise
        self._task = asyncio.create_task(self._run(), name=f"proxy of {self._device.spec}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close both.

        Raises
        ------
        BenchBrokenError
            The relay had ended by an error of its own.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(result, Exception) and exc is None:
                raise BenchBrokenError(f"{self._device.spec}: the relay of the line ended: {result}") from result

    async def _run(self) -> None:
        down = asyncio.create_task(self._copy_down())
        try:
            await self._copy_up()
        finally:
            down.cancel()
            await asyncio.gather(down, return_exceptions=True)
            await self._device.close()
            await self._host.close()

    async def _copy_up(self) -> None:
        backoff = Backoff(random.Random(0))
        while True:
            try:
                while True:
                    chunk = await self._device.receive()
                    backoff.reset()
                    await self._hand_up(chunk.data)
            except TransportEndedError:
                await asyncio.Event().wait()  # a recording is over: the line is silent, until we are cancelled
            except TransportError:
                await self._device.close()
            await self._faults.unplug(_ABSENT)
            while True:
                await self._clock.sleep_until(self._clock.mono_ns() + backoff.next_ns())
                with contextlib.suppress(TransportOpenError):
                    await self._device.open()
                    break
            await self._faults.plug(_ABSENT)

    async def _hand_up(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._host.send(data)
        except (TimeoutError, TransportError):
            self.bytes_lost += len(data)

    async def _copy_down(self) -> None:
        while True:
            try:
                chunk = await self._host.receive()
            except TransportClosedError:
                return
            # commands to a device that is away are lost, as on a wire; the driver sends them again
            with contextlib.suppress(TransportError):
                await self._device.send(chunk.data)
