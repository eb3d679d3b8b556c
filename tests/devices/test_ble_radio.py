"""Adapters shared by many tags: what an adapter does where its library breaks its word."""

import asyncio
import random
from collections.abc import Callable

from devices.ble_link import Advert, Link, Scan
from devices.ble_radio import LIMIT_HOLDS_NS, Radio
from tests.ble_support import until
from tests.devices.manual_clock import ManualClock
from tests.devices.smart_tag_bench import CLOCK


class _FailingDoor:
    """Raises what no door should, at its first scan and at the end of its second."""

    def __init__(self) -> None:
        self.n_scans = 0

    async def start_scan(self, on_advert: Callable[[Advert], None]) -> Scan:
        self.n_scans += 1
        if self.n_scans == 1:
            raise RuntimeError("an object vanished between two steps")
        return _FailingScan()

    async def connect(self, advert: Advert, *, within_s: float) -> Link:
        raise NotImplementedError

    async def forget(self, advert: Advert, *, within_s: float) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class _FailingScan:
    async def stop(self) -> None:
        raise TypeError("stopped twice")


async def test_an_error_that_no_library_should_raise_is_told_and_does_not_end_the_listening() -> None:
    door = _FailingDoor()
    told: list[tuple[bool, str]] = []
    async with Radio(CLOCK, lambda _adapter, _clock: door, silence_s=0.01, rng=random.Random(1)) as radio:
        stop = radio.listen("hci0", lambda _advert: None, lambda is_up, detail: told.append((is_up, detail)))
        await until(lambda: door.n_scans >= 3, "a third scan")
        stop()
        await asyncio.sleep(0)
    assert [is_up for is_up, _ in told] == [False, True]
    assert "an object vanished" in told[0][1]


async def test_a_limit_that_was_learned_is_tried_again_after_a_while() -> None:
    """One place more each time, up to what was told: who held the others may have gone."""
    clock = ManualClock()
    async with Radio(clock, lambda _adapter, _clock: _FailingDoor(), n_slots=3, rng=random.Random(1)) as radio:
        adapter = radio._adapter("hci0")
        adapter.learn_limit()
        kept = [adapter._n_slots]
        for _ in range(3):
            await clock.advance(LIMIT_HOLDS_NS)
            adapter.plan()
            kept.append(adapter._n_slots)
    assert kept == [1, 2, 3, 3]
