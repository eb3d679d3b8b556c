"""The air and its controllers, without D-Bus: timing, loss, range, supervision, cancelling, addresses, captures."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bumble.hci import HCI_Command, HCI_Event, HCI_Packet

from rig.ble.adverts import HeardAdvert, full_uuid, merge_advert
from rig.ble.air import SUPERVISION_S, Air
from rig.ble.central import CentralRadio
from rig.ble.errors import (
    AirMisuseError,
    AttRefusedError,
    ConnectFailedError,
    FrontMisuseError,
    HciPortError,
    LinkGoneError,
)
from rig.ble.hci_port import open_hci_port
from rig.ble.pairing import Pairing
from rig.ble.peripheral import Peripheral
from rig.ble.plain_tag import PlainTag
from rig.ble.services import Access, GattCharacteristic, GattService
from rig.ble.snoop import SnoopFile, read_snoop
from tests.ble_support import until

ADDRESS = "C0:DE:00:00:00:01"


@pytest.fixture
async def air() -> AsyncIterator[Air]:
    made = Air(seed=5)
    yield made
    made.close()
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def radio(air: Air) -> AsyncIterator[CentralRadio]:
    made = CentralRadio(air)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def tag(air: Air) -> AsyncIterator[PlainTag]:
    made = PlainTag(air, name="tag-1", address=ADDRESS)
    await made.start()
    yield made
    await made.stop()


async def hear(radio: CentralRadio, count: int) -> list[HeardAdvert]:
    heard: list[HeardAdvert] = []
    radio.on_advert.append(heard.append)
    await radio.scan("test")
    await until(lambda: len(heard) >= count, f"{count} adverts")
    await radio.end_scan("test")
    radio.on_advert.remove(heard.append)
    return heard


# --- adverts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval_s", [0.02, 0.1])
async def test_adverts_come_at_their_interval_plus_zero_to_ten_milliseconds(air: Air, interval_s: float) -> None:
    loop = asyncio.get_running_loop()
    waits_s: list[float] = []

    def advert() -> tuple[bytes, bytes]:
        controller = next(iter(air.controllers))
        timer = controller.le_legacy_advertiser.timer_handle
        if isinstance(timer, asyncio.TimerHandle):
            waits_s.append(timer.when() - loop.time())
        return b"\x02\x01\x06", b""

    # The next event has been set when the data of this one is asked for: what is left of the wait is never longer than
    # it is, and on an idle machine a few microseconds shorter.
    beacon = Peripheral(air, name="b", address=ADDRESS, advert=advert, interval_s=interval_s, connectable=False)
    await beacon.start()
    await until(lambda: len(waits_s) >= 8, "eight adverts")
    await beacon.stop()
    assert max(waits_s) <= interval_s + 0.010
    assert sorted(waits_s)[4] >= interval_s - 0.001
    assert len({round(wait_s, 5) for wait_s in waits_s}) > 3, "the delay is random"


async def test_every_event_carries_fresh_data_and_its_scan_response(radio: CentralRadio, tag: PlainTag) -> None:
    heard = await hear(radio, 10)
    counters = [int.from_bytes(advert.manufacturer_data[0xFFFF][2:4], "little") for advert in heard]
    assert counters == list(range(counters[0], counters[0] + len(counters)))
    assert {advert.name for advert in heard} == {"tag-1"}
    assert {advert.rssi_dbm for advert in heard} == {-60}


async def test_adverts_of_a_running_tag_really_change(radio: CentralRadio, tag: PlainTag) -> None:
    await tag.peripheral.set_advert(b"\x02\x01\x04", b"\x04\x09new")
    (advert, *_) = await hear(radio, 1)
    assert (advert.flags, advert.name, dict(advert.manufacturer_data)) == (4, "new", {})
    await tag.peripheral.set_address("C0:DE:00:00:00:77")
    heard = await hear(radio, 3)
    assert {advert.address for advert in heard[1:]} == {"C0:DE:00:00:00:77"}


async def test_a_passive_scan_gets_no_scan_response_and_a_beacon_takes_no_connection(
    air: Air, radio: CentralRadio
) -> None:
    beacon = Peripheral(
        air,
        name="b",
        address=ADDRESS,
        advert=b"\x02\x01\x06",
        scan_response=b"\x02\x09b",
        interval_s=0.02,
        connectable=False,
    )
    await beacon.start()
    heard: list[HeardAdvert] = []
    radio.on_advert.append(heard.append)
    await radio.scan("test", active=False)
    await until(lambda: len(heard) >= 2, "two adverts")
    assert {(advert.name, advert.connectable) for advert in heard} == {(None, False)}
    with pytest.raises(ConnectFailedError):
        await radio.connect(ADDRESS, timeout_s=0.2)
    await radio.end_scan("test")
    await beacon.stop()


async def test_two_listeners_hear_one_tag_each_by_its_own_path(air: Air, tag: PlainTag) -> None:
    heard: dict[str, list[int]] = {"near": [], "far": []}
    listeners = [
        Peripheral(air, name=name, address=f"C0:DE:00:00:01:{i:02X}", connectable=False, interval_s=1.0)
        for i, name in enumerate(heard)
    ]
    air_path = None
    for listener in listeners:
        await listener.start()
        await listener.listen(lambda _address, _data, rssi_dbm, at=heard[listener.name]: at.append(rssi_dbm))  # type: ignore[misc]
    air_path = air.between("tag-1", "far")
    air_path.rssi_dbm = -91.0
    await until(lambda: all(len(values) >= 4 for values in heard.values()), "four adverts each")
    assert set(heard["near"]) == {-60} and heard["far"][-1] == -91
    for listener in listeners:
        await listener.stop_listening()
        await listener.stop()


async def test_the_same_seed_loses_the_same_adverts() -> None:
    async def run() -> list[bool]:
        air = Air(seed=99)
        radio = CentralRadio(air)
        tag = PlainTag(air, name="tag-1")
        await radio.start()
        tag.peripheral.radio.loss = 0.5
        told = [air.heard(tag.peripheral._controller, radio._controller) is not None for _ in range(50)]  # type: ignore[arg-type]
        await radio.stop()
        air.close()
        return told

    assert await run() == await run()


def test_ad_structures_are_read_leniently() -> None:
    advert = merge_advert(
        ADDRESS,
        bytes.fromhex("0201060302021803ff010205160f185701041618ff" + "0a09"),
        rssi_dbm=-50,
        public=False,
        connectable=True,
    )
    assert advert.service_uuids == (full_uuid(b"\x02\x18"),)
    assert advert.service_data[full_uuid(b"\x0f\x18")] == b"\x57\x01"
    assert advert.name is None, "a structure that is cut short ends the reading"
    assert full_uuid(bytes(range(16))) == "0f0e0d0c-0b0a-0908-0706-050403020100"


# --- links --------------------------------------------------------------------------------------------------------


async def test_a_link_ends_at_both_sides_after_the_supervision_timeout(radio: CentralRadio, tag: PlainTag) -> None:
    loop = asyncio.get_running_loop()
    link = await radio.connect(ADDRESS, timeout_s=10)
    reasons: list[int] = []
    link.on_lost.append(reasons.append)
    start = loop.time()
    tag.peripheral.radio.out_of_range = True
    await until(lambda: bool(reasons) and not tag.peripheral.connected, "the end at both sides")
    assert loop.time() - start >= SUPERVISION_S - 0.01
    assert reasons == [0x08]
    with pytest.raises(LinkGoneError):
        await link.read(3)


async def test_an_unheard_connection_request_fails_as_error_0x3e(radio: CentralRadio, tag: PlainTag) -> None:
    tag.peripheral.radio.connect_loss = 1.0
    link = await radio.connect(ADDRESS, timeout_s=10)
    reasons: list[int] = []
    link.on_lost.append(reasons.append)
    with pytest.raises(LinkGoneError):
        await link.exchange_mtu()
    assert reasons == [0x3E]


async def test_cancelling_a_connect_leaves_the_radio_free(radio: CentralRadio, tag: PlainTag) -> None:
    tag.peripheral.radio.out_of_range = True
    for attempt in range(3):
        waiting = asyncio.create_task(radio.connect(ADDRESS, timeout_s=30))
        for _ in range(attempt * 3):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert not radio.device.is_scanning
    with pytest.raises(ConnectFailedError, match="not heard"):
        await radio.connect(ADDRESS, timeout_s=0.1)
    tag.peripheral.radio.out_of_range = False
    link = await radio.connect(ADDRESS, timeout_s=10)
    await link.disconnect()


async def test_a_connect_cancelled_while_it_is_made_leaves_no_link(radio: CentralRadio, tag: PlainTag) -> None:
    for turns in range(0, 60, 6):
        waiting = asyncio.create_task(radio.connect(ADDRESS, timeout_s=5))
        await until(lambda: radio._connect_lock.locked(), "the asking")
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        done = (await asyncio.gather(waiting, return_exceptions=True))[0]
        if not isinstance(done, BaseException):
            await done.disconnect()
        await until(lambda: not tag.peripheral.connected, "the end of the link")
    assert radio.links == []


async def test_a_request_that_waits_behind_a_slow_one_learns_of_the_links_end(
    radio: CentralRadio, tag: PlainTag
) -> None:
    link = await radio.connect(ADDRESS, timeout_s=10)
    services = await link.discover()
    battery = next(c for s in services for c in s.characteristics if c.uuid.startswith("00002a19"))
    tag.peripheral.gatt.read_delay_s = 9.0
    reads = [asyncio.create_task(link.read(battery.handle)) for _ in range(3)]
    await until(lambda: tag.peripheral.gatt.reads == 1, "the first request")
    tag.peripheral.drop_link()
    ends = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(end) for end in ends] == [LinkGoneError] * 3


async def test_a_handler_refuses_with_a_code_of_its_own(air: Air, radio: CentralRadio) -> None:
    async def read() -> bytes:
        raise AttRefusedError(0x9F)

    def write(_value: bytes) -> None:
        raise AttRefusedError(0x88)

    value = GattCharacteristic(uuid=full_uuid(b"\x01\xff"), access=Access.READ | Access.WRITE, read=read, write=write)
    tag = Peripheral(
        air,
        name="t",
        address=ADDRESS,
        services=[GattService(uuid=full_uuid(b"\x00\xff"), characteristics=(value,))],
        interval_s=0.02,
    )
    await tag.start()
    link = await radio.connect(ADDRESS, timeout_s=10)
    (found,) = [c for s in await link.discover() for c in s.characteristics if c.uuid == value.uuid]
    for request, code in ((link.read(found.handle), 0x9F), (link.write(found.handle, b"x", response=True), 0x88)):
        with pytest.raises(AttRefusedError) as caught:
            await request
        assert caught.value.code == code
    await tag.stop()


async def test_a_tag_that_is_switched_off_takes_its_links_along(air: Air, radio: CentralRadio) -> None:
    tag = PlainTag(air, name="t", address=ADDRESS)
    await tag.start()
    link = await radio.connect(ADDRESS, timeout_s=10)
    await tag.stop()
    await until(lambda: link.lost, "the end of the link")
    with pytest.raises(AirMisuseError, match="no 't' on the air"):
        air.radio("t")


# --- misuse, captures, real controllers ---------------------------------------------------------------------------


async def test_misuse_is_told(air: Air, tag: PlainTag) -> None:
    with pytest.raises(AirMisuseError, match="two controllers are named"):
        PlainTag(air, name="tag-1")
    with pytest.raises(AirMisuseError, match="expected a passkey"):
        PlainTag(air, name="x", pairing=Pairing.PASSKEY)


async def test_every_packet_of_the_adapter_is_captured_and_read_back(air: Air, tag: PlainTag, tmp_path: Path) -> None:
    path = tmp_path / "hci0.btsnoop"
    radio = CentralRadio(air)
    radio.capture(SnoopFile(path))
    await radio.start()
    link = await radio.connect(ADDRESS, timeout_s=10)
    await link.exchange_mtu()
    await link.disconnect()
    await radio.stop()
    records = list(read_snoop(path))
    packets = [HCI_Packet.from_bytes(record.packet) for record in records]
    names = [packet.name for packet in packets if isinstance(packet, HCI_Command | HCI_Event)]
    assert names[0] == "HCI_RESET_COMMAND"
    assert {"HCI_LE_CREATE_CONNECTION_COMMAND", "HCI_DISCONNECTION_COMPLETE_EVENT"} <= set(names)
    assert any(record.packet[0] == 2 for record in records), "data packets too"
    assert {record.from_controller for record in records} == {True, False}
    assert [record.t_utc_us for record in records] == sorted(record.t_utc_us for record in records)


def test_a_capture_ends_at_its_bound_and_a_broken_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.btsnoop"
    snoop = SnoopFile(path, limit_bytes=60)
    for _ in range(3):
        snoop.snoop(b"\x01\x03\x0c\x00", SnoopFile.Direction.HOST_TO_CONTROLLER)
    snoop.close()
    assert (snoop.packets, snoop.dropped) == (2, 1)
    assert len(list(read_snoop(path))) == 2
    whole = path.read_bytes()
    for length in (10, 20, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FrontMisuseError):
            list(read_snoop(path))


@pytest.mark.parametrize("spec", ["serial:/dev/no-such-port,1000000", "nonsense:0", "tcp-client:127.0.0.1:9", "usb:99"])
async def test_a_missing_controller_is_told_with_what_to_do(spec: str) -> None:
    with pytest.raises(HciPortError, match=r"no HCI controller .* Next: "):
        await open_hci_port(spec)
