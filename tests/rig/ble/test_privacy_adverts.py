"""Nothing that is sent links two ids of her unit, and nothing of his is about her: over a capture of every advert."""

import itertools
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bumble import hci

from devices.clock import SystemClock
from protocols.ble.ad import AdvertisementData, parse_ad
from protocols.ble.beacon import (
    BEACON_PURPOSE,
    COMPANY_ID,
    TAG_PURPOSE,
    Beacon,
    TagAdvert,
    decode_beacon,
    decode_tag_advert,
    encode_beacon,
    rolling_id,
    slot_of,
)
from rig.ble.air import Air
from rig.ble.ankle_beacon import AnkleBeacon
from rig.ble.firmware.beacon import BeaconConfig, BeaconFirmware
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.peripheral import Peripheral
from rig.ble.snoop import SnoopFile, read_snoop
from rig.ble.victim import VictimTag
from tests.ble_support import until

CLOCK = SystemClock()
START_UTC_NS = 1_767_268_800_000_000_000
SPEED = 3000.0
"""A slot of 900 s passes in 0.3 s."""
INTERVAL_S = 0.02
ROTATIONS = 10
KEYS = {"hers": bytes(range(16)), "another": bytes(range(16, 32))}
BEACON_KEY = bytes(range(32, 48))
SCAN_RESPONSE = int(hci.HCI_LE_Advertising_Report_Event.EventType.SCAN_RSP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sniffed:
    """One advertising report of the capture."""

    t_us: int
    address: str
    event_type: int
    data: bytes

    @property
    def content(self) -> bytes:
        """What stands behind the company identifier; empty where nothing does."""
        advert = parse_ad(self.data)
        assert isinstance(advert, AdvertisementData)
        return advert.manufacturer_data.get(COMPANY_ID, b"")


def victim(air: Air, name: str, *, seed: int) -> VictimTag:
    config = SmartTagConfig(seed=seed, start_utc_ns=START_UTC_NS, tag_key=KEYS[name], beacon_key=BEACON_KEY)
    return VictimTag(
        air,
        name=name,
        firmware=SmartTagFirmware(config),
        clock=CLOCK,
        interval_s=INTERVAL_S,
        seed=seed,
        speed=SPEED,
    )


@asynccontextmanager
async def listener(air: Air, path: Path) -> AsyncIterator[None]:
    """A stranger who scans actively and keeps everything."""
    sniffer = Peripheral(air, name="sniffer", address="C0:00:00:00:00:01", interval_s=10.0)
    sniffer.capture(SnoopFile(path))
    await sniffer.start()
    await sniffer.device.start_scanning(legacy=True, active=True)
    try:
        yield
    finally:
        await sniffer.device.stop_scanning(legacy=True)
        await sniffer.stop()


def read_reports(path: Path) -> list[Sniffed]:
    found = []
    for record in read_snoop(path):
        if not record.from_controller:
            continue
        packet = hci.HCI_Packet.from_bytes(record.packet)
        if isinstance(packet, hci.HCI_LE_Advertising_Report_Event):
            found += [
                Sniffed(
                    t_us=record.t_utc_us,
                    address=str(report.address.to_string(False)),
                    event_type=int(report.event_type),
                    data=bytes(report.data),
                )
                for report in packet.reports
            ]
    return found


async def run_to_rotation(tag: VictimTag, rotations: int) -> None:
    seen = {tag.peripheral.address}

    def turned() -> bool:
        seen.add(tag.peripheral.address)
        return len(seen) > rotations

    await until(turned, f"{rotations} new addresses", within_s=20)


async def test_nothing_links_two_ids_of_her_unit(tmp_path: Path) -> None:
    air = Air(seed=1)
    tags = [victim(air, "hers", seed=1), victim(air, "another", seed=2)]
    async with listener(air, tmp_path / "air.btsnoop"):
        for tag in tags:
            await tag.start()
        await run_to_rotation(tags[0], ROTATIONS)
        for tag in tags:
            await tag.stop()
    air.close()

    reports = read_reports(tmp_path / "air.btsnoop")
    answers = [report for report in reports if report.event_type == SCAN_RESPONSE]
    assert answers and not any(report.data for report in answers)
    every = [report for report in reports if report.event_type != SCAN_RESPONSE]
    # where the machine was too busy to fall silent in time, a packet without content went out
    adverts = [report for report in every if report.data]
    assert len(every) - len(adverts) < 0.05 * len(every)
    slots = range(slot_of(START_UTC_NS), slot_of(START_UTC_NS) + 200)
    owners = {rolling_id(key, slot, TAG_PURPOSE): name for name, key in KEYS.items() for slot in slots}
    by_id: dict[bytes, list[tuple[Sniffed, TagAdvert]]] = {}
    for report in adverts:
        advert = decode_tag_advert(report.content)
        assert isinstance(advert, TagAdvert)
        by_id.setdefault(advert.rolling_id, []).append((report, advert))
    hers = [rows for pseudonym, rows in by_id.items() if owners[pseudonym] == "hers"]
    assert len(hers) >= ROTATIONS

    # address and id change together: no address under two ids, no id under two addresses
    addresses = [{report.address for report, _ in rows} for rows in by_id.values()]
    assert all(len(each) == 1 for each in addresses)
    assert len(set().union(*addresses)) == len(by_id)
    assert all(int(address[:2], 16) >> 6 == 0b01 for each in addresses for address in each)

    # every octet but id and counter is the same for all tags of the kind
    frames = {report.data.replace(report.content[1:], b"") for report in adverts}
    assert len(frames) == 1
    assert {len(report.data) for report in adverts} == {20}

    # counters: no id goes on where another one stopped
    ends = [(rows[0][1].counter, rows[-1][1].counter) for rows in by_id.values()]
    for (_, last), (first, _) in itertools.permutations(ends, 2):
        assert abs(first - last) > 1000

    # timing: the pause between two ids is no multiple of the rhythm, and is another one each time
    pauses_s = [(after[0][0].t_us - before[-1][0].t_us) / 1e6 for before, after in itertools.pairwise(hers)]
    assert min(pauses_s) > 3 * INTERVAL_S
    assert statistics.stdev(pauses_s) > 0.01


async def test_nothing_that_his_tag_sends_is_about_her(tmp_path: Path) -> None:
    air = Air(seed=1)
    beacon = AnkleBeacon(
        air,
        name="his-tag",
        firmware=BeaconFirmware(BeaconConfig(seed=3, start_utc_ns=START_UTC_NS, key=BEACON_KEY)),
        clock=CLOCK,
        interval_s=INTERVAL_S,
        seed=3,
        speed=SPEED,
    )
    tag = victim(air, "hers", seed=1)
    async with listener(air, tmp_path / "air.btsnoop"):
        await beacon.start()
        await tag.start()
        await until(lambda: tag.firmware.heard > 20, "her tag hears him")
        await run_to_rotation(tag, 3)
        await tag.stop()
        await beacon.stop()
    air.close()

    slots = range(slot_of(START_UTC_NS), slot_of(START_UTC_NS) + 200)
    slot_by_id = {rolling_id(BEACON_KEY, slot, BEACON_PURPOSE): slot for slot in slots}
    his = []
    for report in read_reports(tmp_path / "air.btsnoop"):
        heard = decode_beacon(report.content) if report.content else None
        if not isinstance(heard, Beacon):
            continue
        his.append((report, heard))
        # every octet follows from his key, his clock, his counter and his sensors
        assert report.content == encode_beacon(
            BEACON_KEY,
            slot=slot_by_id[heard.rolling_id],
            counter=heard.counter,
            strap_open=False,
            battery_pct=83,
        )
        advert = parse_ad(report.data)
        assert isinstance(advert, AdvertisementData)
        assert advert == AdvertisementData(flags=advert.flags, manufacturer_data={COMPANY_ID: report.content})
    assert len({heard.rolling_id for _, heard in his}) >= 3
    # his counter shows no trace of her coming: one step an advertising event, as long as an id lasts
    for _, rows in itertools.groupby(his, key=lambda row: row[1].rolling_id):
        counters = [heard.counter for _, heard in rows]
        assert all(later - earlier == 1 for earlier, later in itertools.pairwise(counters))
