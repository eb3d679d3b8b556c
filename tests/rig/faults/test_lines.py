"""Faults of lines as pure functions, the transport that wraps them, and the relay for a real port."""

import asyncio
import contextlib
import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.clock import SystemClock
from devices.errors import TransportLostError, TransportOpenError
from devices.transports import open_transport
from protocols.nmea import NmeaDecoder
from protocols.nmea.checksum import seal
from protocols.reports import Fix
from rig.faults.bytes import BitFlip, ByteFault, Drop, Garbage, Merge, Split, Stall, WrongBaud
from rig.faults.gnss import Clockwork, Displace, Freeze, NoFix
from rig.faults.line import Chain, LineFaults
from rig.faults.proxy import FaultProxy
from rig.faults.sentences import find_sentence, moved
from rig.faults.transport import FaultyTransport
from tests.ble_support import until
from tests.bridge.support import epoch_bytes

CLOCK = SystemClock()

pieces = st.lists(st.binary(max_size=40), max_size=12)


def through(fault: ByteFault, parts: list[bytes], *, step_ns: int = 10_000_000) -> bytes:
    out = [piece for n, part in enumerate(parts) for piece in fault.take(part, n * step_ns)]
    return b"".join(out + fault.end())


@given(pieces, st.integers(1, 20), st.integers(0, 50))
def test_other_pieces_are_the_same_bytes_in_the_same_order(parts: list[bytes], size: int, milliseconds: int) -> None:
    whole = b"".join(parts)
    assert through(Split(piece_bytes=size, pause_ms=milliseconds), parts) == whole
    assert through(Merge(hold_ms=milliseconds + 1), parts) == whole
    assert through(Stall(then="deliver", buffer_bytes=1000), parts) == whole[:1000]
    assert through(Stall(then="lose", buffer_bytes=1000), parts) == b""
    assert through(WrongBaud(sent_baud=9600, read_baud=9600), parts) == whole


@given(pieces)
def test_sentence_faults_pass_what_is_no_sentence(parts: list[bytes]) -> None:
    assert through(NoFix(), parts) == b"".join(parts)
    assert through(Displace(bearing_deg=0, distance_m=100), parts) == b"".join(parts)


@given(st.integers(0, 1000))
def test_damage_is_of_the_kind_it_says(seed: int) -> None:
    data = bytes(range(256)) * 8
    flipped = through(BitFlip(random.Random(seed), flips_per_kb=20), [data])
    assert len(flipped) == len(data)
    assert all((a ^ b).bit_count() <= 1 for a, b in zip(data, flipped, strict=True))
    assert flipped != data
    lost = through(Drop(random.Random(seed), losses_per_kb=20, run_bytes=3), [data])
    assert 0 < len(lost) < len(data)
    rest = iter(data)
    assert all(byte in rest for byte in lost), "what is left is in its order"
    noisy = through(Garbage(random.Random(seed), bursts_per_kb=20, burst_bytes=3), [data])
    assert len(noisy) > len(data) and (len(noisy) - len(data)) % 3 == 0
    rest = iter(noisy)
    assert all(byte in rest for byte in data), "nothing of the device's is missing"


def test_pauses_are_real_and_what_is_due_is_told() -> None:
    split = Split(piece_bytes=2, pause_ms=5)
    assert split.take(b"abcde", 0) == [b"ab"]
    assert (split.due_ns, split.take(b"", 4_999_999)) == (5_000_000, [])
    assert split.take(b"", 5_000_000) == [b"cd"]
    assert split.take(b"f", 10_000_000) == [b"e"]
    assert split.end() == [b"f"]
    merge = Merge(hold_ms=5)
    assert (merge.due_ns, merge.take(b"a", 0), merge.due_ns) == (None, [], 5_000_000)
    assert (merge.take(b"b", 1), merge.take(b"", 5_000_000)) == ([], [b"ab"])


def test_faults_of_a_line_work_one_behind_the_other_and_give_back_what_they_held() -> None:
    chain = Chain()
    told: list[int] = []
    chain.on_change.append(lambda: told.append(1))
    assert chain.is_idle and chain.take(b"x", 0) == [b"x"]
    chain.put("stall", Stall(then="deliver", buffer_bytes=10))
    chain.put("cut", Split(piece_bytes=1, pause_ms=0))
    assert chain.take(b"abc", 0) == []
    chain.remove("stall", 0)
    assert len(told) == 3, "two began, one ended"
    assert chain.due_ns is not None and chain.take(b"d", 0) == [b"a", b"b", b"c", b"d"]
    chain.remove("cut", 0)
    assert chain.is_idle
    chain.remove("cut", 0)
    assert (chain.bytes_in, chain.bytes_out) == (5, 5)
    chain.put("hold", Merge(hold_ms=5))
    told.clear()
    assert chain.take(b"e", 0) == chain.take(b"f", 1) == []
    assert (len(told), chain.due_ns) == (1, 5_000_000), "told once that something waits for its time"
    assert chain.take(b"", 5_000_000) == [b"ef"]


# --- what a receiver says -------------------------------------------------------------------------------------------


def fixes(data: bytes) -> list[Fix]:
    decoder = NmeaDecoder()
    reports = [*decoder.feed(data, t_rx_utc_ns=1_780_000_000_000_000_000), *decoder.close()]
    assert all(isinstance(each, Fix) for each in reports), reports
    return [each for each in reports if isinstance(each, Fix)]


@pytest.mark.parametrize(("distance_m", "bearing_deg"), [(10, 0), (1000, 90), (5000, 180), (300_000, 271)])
def test_displaced_positions_are_as_far_off_as_told_and_whole_sentences(distance_m: float, bearing_deg: float) -> None:
    data = b"".join(epoch_bytes(n, 100 * n) for n in range(5))
    before = fixes(data)
    after = fixes(through(Displace(bearing_deg=bearing_deg, distance_m=distance_m), [data]))
    assert [fix.t_fix_utc_ns for fix in after] == [fix.t_fix_utc_ns for fix in before]
    for one, other in zip(before, after, strict=True):
        assert one.lat_deg is not None and one.lon_deg is not None
        assert (other.lat_deg, other.lon_deg) == pytest.approx(
            moved(one.lat_deg, one.lon_deg, distance_m, bearing_deg), abs=2e-7
        )


def test_frozen_and_missing_positions_and_moved_times_decode_as_such() -> None:
    data = b"".join(epoch_bytes(n, 100 * n) for n in range(5))
    whole = fixes(data)
    frozen = fixes(through(Freeze(), [data]))
    assert len({(fix.lat_deg, fix.lon_deg) for fix in frozen}) == 1
    assert len({fix.t_fix_utc_ns for fix in frozen}) == 5
    assert {fix.lat_deg for fix in fixes(through(NoFix(), [data]))} == {None}
    ahead = fixes(through(Clockwork(ahead_s=2.5), [data]))
    steps = {b.t_fix_utc_ns - a.t_fix_utc_ns for a, b in zip(whole, ahead, strict=True)}  # type: ignore[operator]
    assert steps == {2_500_000_000}


def test_southern_and_western_positions_and_the_date_line_are_kept() -> None:
    sentence = find_sentence(seal("GPGLL,3352.50000,S,17959.90000,W,120000.00,A"))
    assert sentence is not None
    place = sentence.find_position()
    assert place == pytest.approx((-33.875, -179.99833), abs=1e-4)
    sentence.set_position(*moved(*place, 1000, 270))  # type: ignore[misc]
    assert sentence.fields[2] == "S" and sentence.fields[4] == "E", "over the date line"


# --- a transport with faults ----------------------------------------------------------------------------------------

_names = itertools.count()


@contextlib.asynccontextmanager
async def wired(faults: LineFaults):  # type: ignore[no-untyped-def]
    name = f"faulty-{next(_names)}"
    device = open_transport(f"memory:{name}?end=device")
    await device.open()
    driver = FaultyTransport(open_transport(f"memory:{name}"), faults, CLOCK)
    await driver.open()
    try:
        yield device, driver
    finally:
        await driver.close()
        await device.close()


async def test_bytes_that_were_held_wake_who_waits_for_them() -> None:
    faults = LineFaults()
    async with wired(faults) as (device, driver):
        faults.up.put("stall", Stall(then="deliver", buffer_bytes=100))
        waiting = asyncio.create_task(driver.receive())
        await device.send(b"held")
        await until(lambda: faults.up.bytes_in == 4, "the bytes to be held")
        faults.up.remove("stall", CLOCK.mono_ns())
        assert (await waiting).data == b"held"
        faults.up.put("merge", Merge(hold_ms=20))
        await device.send(b"a")
        await device.send(b"b")
        assert (await driver.receive()).data == b"ab"


async def test_what_is_sent_is_disturbed_too_and_goes_out_in_its_time() -> None:
    faults = LineFaults()
    async with wired(faults) as (device, driver):
        faults.down.put("split", Split(piece_bytes=1, pause_ms=2))
        await driver.send(b"abc")
        assert [(await device.receive()).data for _ in range(3)] == [b"a", b"b", b"c"]


async def test_unplugged_port_is_lost_refused_and_back() -> None:
    faults = LineFaults()
    async with wired(faults) as (device, driver):
        waiting = asyncio.create_task(driver.receive())
        await asyncio.sleep(0)
        await faults.unplug("a")
        await faults.unplug("b")
        with pytest.raises(TransportLostError, match="vanished"):
            await waiting
        await driver.close()
        with pytest.raises(TransportOpenError, match="Next"):
            await driver.open()
        await faults.plug("a")
        with pytest.raises(TransportOpenError, match="Next"):
            await driver.open()
        await faults.plug("b")
        await driver.open()
        await device.send(b"back")
        assert (await driver.receive()).data == b"back"


# --- a real port ----------------------------------------------------------------------------------------------------


async def test_relay_of_a_real_port_disturbs_both_ways_and_hangs_up(tmp_path: Path) -> None:
    """The device's port is a pseudo-terminal opened as a serial port: all of the driver but the UART."""
    faults = LineFaults()
    made = open_transport(f"pty:?link={tmp_path / 'usb'}")
    await made.open()
    proxy = FaultProxy(f"serial:{tmp_path / 'usb'}?baud=9600", link=tmp_path / "port", faults=faults, clock=CLOCK)
    async with proxy:
        bridge = open_transport(proxy.spec)
        await bridge.open()
        await made.send(b"up")
        assert (await bridge.receive()).data == b"up"
        await bridge.send(b"down")
        assert (await made.receive()).data == b"down"
        faults.up.put("flip", BitFlip(random.Random(1), flips_per_kb=1000))
        await made.send(b"0" * 20)
        assert (await bridge.receive()).data != b"0" * 20
        faults.up.remove("flip", CLOCK.mono_ns())
        await faults.unplug("fault")
        with pytest.raises(TransportLostError):
            await bridge.receive()
        await bridge.close()
        with pytest.raises(TransportOpenError):
            await bridge.open()
        await faults.plug("fault")
        await bridge.open()
        await made.send(b"again")
        assert (await bridge.receive()).data == b"again"
        # the device itself goes away: its port takes ours with it, and brings it back
        await made.close()
        with pytest.raises(TransportLostError):
            await bridge.receive()
        await bridge.close()
        await made.open()
        await until(lambda: not faults.is_unplugged, "the device again")
        await bridge.open()
        await made.send(b"and again")
        assert (await bridge.receive()).data == b"and again"
        await bridge.close()
    await made.close()
