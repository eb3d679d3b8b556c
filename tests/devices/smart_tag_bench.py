"""A driver of a smart tag on an emulated radio, and everything it said."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TypeVar

from devices.ble_target import BleTarget, Pairing
from devices.bleak_door import BleRadio
from devices.clock import SystemClock
from devices.events import DeviceEvent, LinkEvent, LinkState
from devices.smart_tag import SmartTag, TagTiming
from protocols.ble.smart_tag import WarnCommand, WarnLevel, WarnPattern, WarnText
from rig.ble.bench import BleBench
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.victim import VictimTag
from tests.ble_support import until

CLOCK = SystemClock()
TAG_KEY = bytes(range(16))
BEACON_KEY = bytes(range(16, 32))
PASSKEY = 471100
INTERVAL_S = 0.02

FAST = TagTiming(
    connect_s=0.5,
    answer_s=0.4,
    write_s=0.4,
    pulse_s=0.1,
    pair_s=2.0,
    pair_again_s=0.3,
    patience_s=0.6,
    ack_s=0.3,
    presence_s=0.6,
)
"""Deadlines short enough for a test of what happens when they pass."""
PATIENT = replace(FAST, patience_s=20.0)
"""The same, for a warning that reaches the tag after all."""
CALM = TagTiming()
"""Deadlines that a busy machine does not reach."""
SILENCE_S = 0.3

ROLLING = BleTarget(text="ble:rolling?key_file=tag.key", key=TAG_KEY)
SECURED = BleTarget(
    text="ble:rolling?key_file=tag.key&pair=mitm", key=TAG_KEY, pair=Pairing.MITM, passkey=PASSKEY, adapter="hci0"
)

_T = TypeVar("_T")


def command(warn_id: int, level: WarnLevel = WarnLevel.ALARM) -> WarnCommand:
    return WarnCommand(warn_id=warn_id, level=level, pattern=WarnPattern.BOTH, text=WarnText.NEARBY)


async def put_victim(
    bench: BleBench,
    name: str = "tag-1",
    *,
    key: bytes | None = TAG_KEY,
    beacon_key: bytes | None = None,
    passkey: int | None = None,
    guarded: bool = False,
    seed: int = 1,
) -> VictimTag:
    """Put a protected person's tag on the bench."""
    firmware = SmartTagFirmware(
        SmartTagConfig(start_utc_ns=time.time_ns(), tag_key=key, beacon_key=beacon_key, seed=seed)
    )
    tag = VictimTag(
        bench.air,
        name=name,
        firmware=firmware,
        clock=CLOCK,
        interval_s=INTERVAL_S,
        passkey=passkey,
        guarded=guarded,
        seed=seed,
    )
    return await bench.add(tag)


class Followed:
    """A driver that runs, and everything it said."""

    def __init__(
        self, radio: BleRadio, target: BleTarget = ROLLING, *, device_id: str = "tag-1", timing: TagTiming = FAST
    ) -> None:
        self.events: list[DeviceEvent] = []
        self.driver = SmartTag(
            device_id=device_id,
            target=target,
            radio=radio,
            clock=CLOCK,
            on_event=self.events.append,
            rng=random.Random(1),
            beacon_key=BEACON_KEY,
            timing=timing,
        )

    def reports(self, kind: type[_T]) -> list[_T]:
        return [event.report for event in self.events if isinstance(event.report, kind)]

    @property
    def links(self) -> list[LinkEvent]:
        return self.reports(LinkEvent)

    def is_up(self) -> bool:
        return bool(self.links) and self.links[-1].state is LinkState.UP

    def is_lost(self) -> bool:
        return bool(self.links) and self.links[-1].state is LinkState.LOST

    def has_lost(self, words: str) -> bool:
        return any(link.state is LinkState.LOST and words in link.detail for link in self.links)

    async def up(self, *, within_s: float = 20.0) -> None:
        await until(self.is_up, f"a link; heard {self.links}", within_s=within_s)

    async def says(self, condition: Callable[[], bool], what: str, *, within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not happen within {within_s} s; links {self.links}"
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def radio_on(*, n_slots: int = 7) -> AsyncIterator[BleRadio]:
    async with BleRadio(CLOCK, n_slots=n_slots, silence_s=SILENCE_S, rng=random.Random(1)) as radio:
        yield radio


@contextlib.asynccontextmanager
async def running(*followed: Followed) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.driver.run()) for each in followed]
    await asyncio.sleep(0)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


@contextlib.asynccontextmanager
async def following(target: BleTarget = ROLLING, *, timing: TagTiming = FAST) -> AsyncIterator[Followed]:
    """Run one driver on a radio of its own until the block ends."""
    async with radio_on() as radio:
        followed = Followed(radio, target, timing=timing)
        async with running(followed):
            yield followed
