"""Faults of what a tag is heard as and of what it says: each becomes an entry of `rig.ble.faults.FAULTS`."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from rig.ble.fault_entries import Undo, entry
from rig.ble.firmware.identity import draw_private_address
from rig.ble.peripheral import Peripheral

if TYPE_CHECKING:
    from rig.ble.bench import BenchTag, BleBench

_REMEMBERED_MAX: Final = 100_000
"""Adverts that a clone remembers: 7 hours at four a second. Older ones are forgotten, so that none is kept for ever."""


@entry(
    "a tag is heard more weakly, by whoever hears it; the weakest adverts get lost",
    where="air",
    sees="callbacks with lower RSSI, fewer of them",
    by_db=20.0,
)
async def _fade(bench: "BleBench", tag: str, *, by_db: float) -> Undo:
    radio = bench.radio(tag)
    before, radio.fade_db = radio.fade_db, by_db

    async def undo() -> None:
        radio.fade_db = before

    return undo


@entry("each advert is heard several times", where="air", sees="each once: bluetoothd tells of changes", copies=3)
async def _repeated_adverts(bench: "BleBench", tag: str, *, copies: int) -> Undo:
    radio = bench.radio(tag)
    before, radio.copies = radio.copies, copies

    async def undo() -> None:
        radio.copies = before

    return undo


@entry(
    "the tag changes its address out of its turn; a link keeps the one it was made with",
    where="tag",
    sees="a device with another address; nothing of the one before",
    lasting=False,
)
async def _new_address(bench: "BleBench", tag: str) -> None:
    await bench.tag(tag).peripheral.set_address(draw_private_address(bench.air.rng))


@entry(
    "a second sender repeats the tag's adverts under an address of its own, as they are or after a while",
    where="air",
    sees="two devices that say the same",
    delay_s=0.0,
    rssi_dbm=-60.0,
)
async def _clone(bench: "BleBench", tag: str, *, delay_s: float, rssi_dbm: float) -> Undo:
    clone = _Clone(bench, bench.tag(tag), delay_s=delay_s)
    await clone.peripheral.start()
    clone.peripheral.radio.rssi_dbm = rssi_dbm
    return clone.peripheral.stop


class _Clone:
    """Hears a tag at its own advertising events, and repeats what it heard a while ago."""

    def __init__(self, bench: "BleBench", tag: "BenchTag", *, delay_s: float) -> None:
        self._source = tag.peripheral
        self._delay_s = delay_s
        self._heard: deque[tuple[float, bytes, bytes]] = deque(maxlen=_REMEMBERED_MAX)
        self.peripheral = Peripheral(
            bench.air,
            name=f"{tag.name}-clone",
            address=draw_private_address(bench.air.rng),
            advert=self._advert,
            interval_s=self._source.interval_s,
            connectable=False,
        )

    def _advert(self) -> tuple[bytes, bytes]:
        now_s = asyncio.get_running_loop().time()
        data, answer = self._source.last_advert
        if not self._heard or (data, answer) != self._heard[-1][1:]:
            self._heard.append((now_s, data, answer))
        while len(self._heard) > 1 and self._heard[1][0] <= now_s - self._delay_s:
            self._heard.popleft()
        since_s, data, answer = self._heard[0]
        return (data, answer) if since_s <= now_s - self._delay_s else (b"", b"")


@entry(
    "values that are read or notified are cut",
    where="tag",
    sees="short values and payloads",
    length=1,
)
async def _cut_values(bench: "BleBench", tag: str, *, length: int) -> Undo:
    server = bench.tag(tag).peripheral.gatt
    server.value_length = length

    async def undo() -> None:
        server.value_length = None

    return undo


@entry(
    "the link breaks during the next writes; they have acted or not",
    where="tag",
    sees="disconnected_callback; a write in flight raises BleakDBusError Failed 'Not connected'",
    times=1,
    acts=False,
)
async def _broken_write(bench: "BleBench", tag: str, *, times: int, acts: bool) -> Undo:
    server = bench.tag(tag).peripheral.gatt
    server.writes_to_break, server.broken_writes_act = times, acts
    server.break_link = lambda: bench.air.cut(tag)

    async def undo() -> None:
        server.writes_to_break = 0

    return undo
