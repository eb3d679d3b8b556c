"""What every emulated Bluetooth tag shares: its own time, a loop that lets its firmware act, how its links end."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from bumble import gatt, hci
from bumble.core import UUID
from bumble.device import Connection

from devices.clock import Clock
from rig.ble.errors import AttRefusedError
from rig.ble.peripheral import Peripheral
from rig.ble.services import Writer

_ORDERLY: Final = frozenset(
    {
        int(hci.HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR),
        int(hci.HCI_ErrorCode.CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR),
    }
)
"""Reasons of an end that somebody wanted; every other one is a loss."""

_LONGEST_WAIT_S: Final = 1.0
"""A loop looks at its tag at least so often, seconds."""


class TagShell(ABC):
    """A tag that lives: subclasses bring a peripheral and say what one turn of their firmware is.

    Parameters
    ----------
    clock : Clock
    speed : float
        Seconds of the tag's time per second.
    """

    def __init__(self, clock: Clock, *, speed: float = 1.0) -> None:
        self._clock = clock
        self._speed = speed
        self._start_mono_ns = clock.mono_ns()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    @abstractmethod
    def peripheral(self) -> Peripheral:
        """The tag on its radio."""

    @abstractmethod
    async def _turn(self, t_ns: int) -> int:
        """Let happen what is due; returns when something is due next, tag time."""

    @abstractmethod
    def _link_up(self) -> None:
        """Take a link."""

    @abstractmethod
    def _link_down(self, lost: bool) -> None:
        """Take its end."""

    @property
    def name(self) -> str:
        """Its name on the bench."""
        return self.peripheral.name

    def now_ns(self) -> int:
        """Tag time, nanoseconds since power-on."""
        return round((self._clock.mono_ns() - self._start_mono_ns) * self._speed)

    def mono_ns_of(self, t_ns: int) -> int:
        """Return the clock's reading at a tag time."""
        return self._start_mono_ns + round(t_ns / self._speed)

    def wake(self) -> None:
        """Have the loop look at the firmware now."""
        self._wake.set()

    async def start(self) -> None:
        """Switch the tag on."""
        self._start_mono_ns = self._clock.mono_ns()
        self.peripheral.device.on(self.peripheral.device.EVENT_CONNECTION, self._connected)
        await self.peripheral.start()
        self._task = asyncio.create_task(self._run(), name=f"firmware of {self.peripheral.name}")

    async def stop(self) -> None:
        """Switch it off; what its loop died of is raised here."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await self.peripheral.stop()
        if task is not None and not task.cancelled():
            task.result()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            due_ns = await self._turn(self.now_ns())
            left_s = min((due_ns - self.now_ns()) / self._speed / 1e9, _LONGEST_WAIT_S)
            if left_s > 0:
                try:
                    async with asyncio.timeout(left_s):
                        await self._wake.wait()
                except TimeoutError:
                    pass
            else:
                await asyncio.sleep(0)

    def _connected(self, connection: Connection) -> None:
        connection.on(connection.EVENT_DISCONNECTION, self._disconnected)
        self._link_up()
        self.wake()

    def _disconnected(self, reason: int) -> None:
        self._link_down(int(reason) not in _ORDERLY)
        self.wake()

    def on_subscription(self, uuid: str, call: Callable[[bool], None]) -> None:
        """Have a call told whether a peer listens to a characteristic."""
        wanted = UUID(uuid)

        def changed(_bearer: object, characteristic: gatt.Characteristic[bytes], notify: bool, _: bool) -> None:
            if characteristic.uuid == wanted:
                call(notify)

        server = self.peripheral.device.gatt_server
        server.on(server.EVENT_CHARACTERISTIC_SUBSCRIPTION, changed)

    def writer(self, take: Callable[[bytes, int], int | None]) -> Writer:
        """Make a firmware's method one that takes writes: its refusals become ATT errors."""

        def write(data: bytes) -> None:
            code = take(data, self.now_ns())
            self.wake()
            if code is not None:
                raise AttRefusedError(code)

        return write
