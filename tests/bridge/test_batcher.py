"""One turn of the loop, one batch; a bridge that is behind lets others have their turn."""

import asyncio
from collections.abc import Sequence

from bridge.batcher import MAX_BATCH, Batcher
from devices.events import DeviceEvent, LinkEvent, LinkState, Stamps

STAMPS = Stamps(t_rx_mono_ns=1, t_rx_utc_ns=1, t_decoded_mono_ns=1)


def events(count: int) -> list[DeviceEvent]:
    link = LinkEvent(state=LinkState.UP, detail="", gap_ns=None)
    return [DeviceEvent(device_id=f"d{n}", report=link, stamps=STAMPS) for n in range(count)]


async def test_what_is_beyond_a_batch_waits_for_the_next_turn_in_order() -> None:
    batches: list[Sequence[DeviceEvent]] = []
    turns: list[int] = []
    batcher = Batcher(batches.append, lambda error: turns.append(-1))
    pushed = events(2 * MAX_BATCH + 5)
    for event in pushed:
        batcher.push(event)
    while sum(map(len, batches)) < len(pushed):
        await asyncio.sleep(0)
        turns.append(len(batches))
    assert [len(batch) for batch in batches] == [MAX_BATCH, MAX_BATCH, 5]
    assert [event for batch in batches for event in batch] == pushed
    assert turns == [1, 2, 3]


async def test_the_end_judges_everything_at_once() -> None:
    batches: list[Sequence[DeviceEvent]] = []
    batcher = Batcher(batches.append, lambda error: None)
    for event in events(MAX_BATCH + 1):
        batcher.push(event)
    batcher.flush()
    assert [len(batch) for batch in batches] == [MAX_BATCH, 1]
    await asyncio.sleep(0)
    assert len(batches) == 2
