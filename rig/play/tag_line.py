"""An emulated ankle tag in the event loop: its firmware at one end of a line inside this process."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from devices.clock import Clock
from devices.errors import TransportError
from devices.transports import open_transport
from rig.emulator.clock import NS_PER_S
from rig.emulator.downlink import Downlink
from rig.emulator.events import DeviceAction
from rig.emulator.firmware import AnkleTagFirmware, Outgoing
from rig.emulator.runner import command_record, epoch_record
from rig.emulator.wire import encode_epoch
from rig.faults.line import LineFaults
from rig.truth.log import TruthLog
from rig.truth.records import TruthEnd, TruthEvent

PATIENCE_S: Final = 0.05
"""How long bytes wait for a reader, seconds of the clock. A UART waits for nobody, and a tag that waited would fall
behind its own time; but a reader that is busy for a moment is not absent."""


def memory_ends(device: str) -> tuple[str, str]:
    """Return what the bridge opens to reach a tag in its own process, and the tag's end of that line."""
    return f"memory:{device}", f"memory:{device}?end=device"


def driver_spec(device: str) -> str:
    """Return what the bridge opens to reach a tag in its own process."""
    return memory_ends(device)[0]


class TagLine:
    """One tag on one line; ``faults`` befall what passes.

    Parameters
    ----------
    device : str
    end : str or None
        Specification of its end of the line; None: one in this process.
    clock : Clock
    log : TruthLog
        Every epoch, event and command goes there, in order.
    speed : float
        Seconds of the tag's time per second of the clock.
    fault_ns : callable or None
        The time that faults of the line go by; None: the clock's.

    Attributes
    ----------
    is_deaf : bool
        Whether nothing of it reaches the bridge.
    on_sent, on_action : callable
        Told of each epoch that was sent, and of each event that came true.
    """

    def __init__(
        self,
        device: str,
        end: str | None = None,
        *,
        clock: Clock,
        log: TruthLog,
        speed: float = 1.0,
        fault_ns: Callable[[], int] | None = None,
    ) -> None:
        self.device = device
        self.faults = LineFaults()
        self.is_deaf = False
        self._clock = clock
        self.log = log
        self.on_sent: Callable[[Outgoing], object] = _ignore
        self.on_action: Callable[[DeviceAction], object] = _ignore
        self._speed = speed
        self._fault_ns = fault_ns or clock.mono_ns
        self._end = open_transport(memory_ends(device)[1] if end is None else end, clock=clock)
        self._firmware: AnkleTagFirmware | None = None
        self._downlink: Downlink | None = None
        self._start_mono_ns = 0
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        self._plugged = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._epochs = self._written = self._lost = 0
        for chain in (self.faults.up, self.faults.down):
            chain.on_change.append(self._moved.set)
        self.faults.on_plug.append(self._plug)

    async def open(self) -> None:
        """Plug the tag in; it says nothing yet."""
        await self._plug()
        self._tasks.append(asyncio.create_task(self._hold_back(), name=f"line of {self.device}"))

    def start(self, firmware: AnkleTagFirmware, start_mono_ns: int) -> None:
        """Switch the tag on; its zero is at ``start_mono_ns``."""
        self._firmware, self._start_mono_ns = firmware, start_mono_ns
        self._downlink = Downlink(firmware.execute)
        for part in (self._pace(firmware), self._listen(firmware)):
            self._tasks.append(asyncio.create_task(part, name=f"tag {self.device}"))

    def feed(self, chunks: Sequence[tuple[float, bytes]], start_mono_ns: int) -> None:
        """Say what was recorded instead: bytes, each at its time in seconds after ``start_mono_ns``."""
        self._start_mono_ns = start_mono_ns
        self._tasks.append(asyncio.create_task(self._say(chunks), name=f"recording of {self.device}"))

    def check(self) -> None:
        """Raise what the tag died of."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def close(self) -> None:
        """Switch the tag off and unplug it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end.close()
        if self._firmware is not None:
            self.log.write(
                TruthEnd(
                    t_s=self._now_ns() / NS_PER_S,
                    epochs=self._epochs,
                    bytes_written=self._written,
                    bytes_lost=self._lost,
                    bytes_unheard=0,
                    stored_dropped=self._firmware.stored_dropped,
                )
            )

    async def _say(self, chunks: Sequence[tuple[float, bytes]]) -> None:
        for at_s, data in chunks:
            await self._clock.sleep_until(self._start_mono_ns + round(at_s / self._speed * NS_PER_S))
            if not self.faults.is_unplugged:
                await self._up(data)

    def _now_ns(self) -> int:
        return round((self._clock.mono_ns() - self._start_mono_ns) * self._speed)

    async def _plug(self) -> None:
        if self.faults.is_unplugged:
            self._plugged.clear()
            await self._end.close()
        else:
            await self._end.open()
            self._plugged.set()

    async def _pace(self, firmware: AnkleTagFirmware) -> None:
        while True:
            self._changed.clear()
            due_ns = firmware.next_due_ns()
            if due_ns > self._now_ns():
                await self._wait(self._changed, due_ns - self._now_ns())
                continue
            for item in firmware.run(due_ns):
                await self._send(item)
            for action in firmware.take_applied():
                self.log.write(
                    TruthEvent(
                        t_s=action.at_s, kind=action.kind.value, value=action.value, t_mono_ns=self._clock.mono_ns()
                    )
                )
                self.on_action(action)

    async def _send(self, item: Outgoing) -> None:
        data = b"".join(encode_epoch(item.epoch, stored=item.stored))
        stamp = self._clock.mono_ns()
        is_lost = self.faults.is_unplugged
        written = 0 if is_lost else len(data)
        self._epochs += 1
        self._written += written
        self._lost += len(data) - written
        # before it is heard: a reader that counts from the emission finds it
        self.log.write(epoch_record(item, stamp, written, len(data)))
        self.on_sent(item)
        if not is_lost:
            await self._up(data)

    async def _up(self, data: bytes) -> None:
        chain = self.faults.up
        pieces = [data] if chain.is_idle and data else chain.take(data, self._fault_ns())
        if self.is_deaf:
            return
        with contextlib.suppress(TransportError, TimeoutError):
            for piece in pieces:
                async with asyncio.timeout(PATIENCE_S):
                    await self._end.send(piece)

    async def _hold_back(self) -> None:
        """Let go on what faults have held back."""
        while True:
            self._moved.clear()
            due = [each for each in (self.faults.up.due_ns, self.faults.down.due_ns) if each is not None]
            if not due:
                await self._moved.wait()
                continue
            left_ns = min(due) - self._fault_ns()
            if left_ns > 0:
                await self._wait(self._moved, left_ns)
                continue
            await self._up(b"")
            await self._down(b"")

    async def _listen(self, firmware: AnkleTagFirmware) -> None:
        while True:
            await self._plugged.wait()
            try:
                chunk = await self._end.receive()
            except TransportError:
                await asyncio.sleep(0)
                continue
            if firmware.on_air:
                await self._down(chunk.data)

    async def _down(self, data: bytes) -> None:
        chain = self.faults.down
        now_mono_ns = self._clock.mono_ns()
        pieces = [data] if chain.is_idle and data else chain.take(data, self._fault_ns())
        if self._downlink is None:
            return
        for piece in pieces:
            for handled in self._downlink.feed(piece, self._now_ns()):
                await self._up(handled.answer)
                self.log.write(command_record(handled, self._now_ns(), now_mono_ns))
        if pieces:
            self._changed.set()

    async def _wait(self, event: asyncio.Event, left_ns: int) -> None:
        """Wait for an event, or until so much of the tag's time has passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_ns / self._speed / NS_PER_S):
                await event.wait()


def _ignore(_: object) -> None:
    return
