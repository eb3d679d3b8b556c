"""One connection to a tag that refuses some of what is asked of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

from devices.ble_link import Characteristic
from devices.ble_target import BleTarget, Pairing
from devices.clock import Clock
from devices.errors import AttRefusedError, LinkAuthError, RadioError
from devices.smart_tag_session import TagSession
from devices.smart_tag_warn import WarnLane
from protocols.ble import uuids
from tests.ble_support import until
from tests.devices.manual_clock import ManualClock
from tests.devices.smart_tag_bench import BEACON_KEY, CALM, CLOCK, PASSKEY, ROLLING, SECURED, TAG_KEY

TAG = (
    (uuids.SMART_TAG_SERVICE, uuids.TAG_STATE, {"read", "notify"}),
    (uuids.SMART_TAG_SERVICE, uuids.TAG_WARN, {"write"}),
    (uuids.SMART_TAG_SERVICE, uuids.TAG_EVENT, {"notify"}),
    (uuids.SMART_TAG_SERVICE, uuids.TAG_KEYS, {"write"}),
    (uuids.CURRENT_TIME_SERVICE, uuids.CURRENT_TIME, {"read", "write"}),
)


@dataclass
class _Link:
    """A connection whose tag refuses what ``refusals`` says, by UUID."""

    refusals: dict[str, RadioError]
    written: list[str] = field(default_factory=list)
    n_read: int = 0
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    characteristics: tuple[Characteristic, ...] = tuple(
        Characteristic(service_uuid=service, service_handle=1, uuid=uuid, handle=2 + k, properties=frozenset(can))
        for k, (service, uuid, can) in enumerate(TAG)
    )

    def _answer(self, handle: int) -> str:
        uuid = next(each.uuid for each in self.characteristics if each.handle == handle)
        if uuid in self.refusals:
            raise self.refusals[uuid]
        return uuid

    async def read(self, handle: int, *, within_s: float) -> bytes:
        self._answer(handle)
        self.n_read += 1
        return b""

    async def write(self, handle: int, data: bytes, *, response: bool, within_s: float) -> None:
        self.written.append(self._answer(handle))

    async def subscribe(self, handle: int, on_value: Callable[[bytes], None], *, within_s: float) -> None:
        self._answer(handle)

    async def pair(self, *, passkey: int | None, within_s: float) -> None:
        assert passkey == PASSKEY

    async def forget(self, *, within_s: float) -> None:
        raise AssertionError("nothing is wrong with the bond")

    async def disconnect(self) -> None:
        self.lost.set()


@contextlib.asynccontextmanager
async def working(
    link: _Link, target: BleTarget, *, clock: Clock = CLOCK, lane: WarnLane | None = None
) -> AsyncIterator[tuple[TagSession, list[str]]]:
    details: list[str] = []
    session = TagSession(
        "tag-1",
        link,
        target,
        lane or WarnLane("tag-1"),
        clock,
        CALM,
        tag_keys=(TAG_KEY, BEACON_KEY),
        may_forget=True,
        pair_from_mono_ns=0,
        on_value=lambda _report, _stamps: None,
        on_answer=lambda _stamps: None,
    )
    task = asyncio.create_task(session.run(on_detail=details.append))
    try:
        await until(lambda: session.is_set_up, "the whole of the set-up")
        yield session, details
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_clock_that_cannot_be_set_keeps_no_keys_back() -> None:
    link = _Link({uuids.CURRENT_TIME: AttRefusedError("write refused with ATT error 0x03", 0x03)})
    async with working(link, SECURED) as (session, details):
        assert session.is_secured and session.keys_are_sent
    assert link.written == [uuids.TAG_KEYS]
    assert details == ["smart tag; write refused with ATT error 0x03"]


async def test_what_a_tag_keeps_from_an_open_link_is_said() -> None:
    refusal = LinkAuthError("refused with ATT error 0x05")
    link = _Link({uuids.TAG_STATE: refusal, uuids.TAG_EVENT: refusal})
    assert ROLLING.pair is Pairing.NONE
    async with working(link, ROLLING) as (_, details):
        pass
    assert len(details) == 1 and "2 of its values are for a secured link only" in details[0]
    assert "pair=mitm" in details[0] and link.written == []


async def test_a_tag_is_told_the_time_again_after_our_clock_was_set() -> None:
    link, clock, lane = _Link({}), ManualClock(), WarnLane("tag-1")

    def has_read(n_times: int) -> bool:
        lane.to_check.set()
        return link.n_read >= n_times

    async with working(link, SECURED, clock=clock, lane=lane):
        assert link.written == [uuids.CURRENT_TIME, uuids.TAG_KEYS]
        # A slew is no step.
        for step_ns, n_told in ((1_000_000_000, 1), (3_600_000_000_000, 2), (0, 2), (-7_200_000_000_000, 3)):
            clock._offset_ns += step_ns
            # The time is looked at after each reading of the state: after two of them, for certain.
            await until(partial(has_read, link.n_read + 2), "the state, twice")
            assert link.written.count(uuids.CURRENT_TIME) == n_told
