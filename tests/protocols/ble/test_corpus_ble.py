"""Adverts, HCI events and values of other projects' tests, captures of phones and sniffers, against what they hold."""

import gzip
import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from protocols.ble import uuids
from protocols.ble.ad import AdvertisementData, parse_ad, read_ad
from protocols.ble.gatt import decode_battery_level, decode_text, decode_tx_power
from protocols.ble.registry import find_company, find_service
from protocols.rejects import Reject, RejectReason
from protocols.reports import BatteryLevel

pytestmark = pytest.mark.corpus

REFUSED_ADVERTS = {
    "test_invalid_ad_debug_log_renders_without_error": RejectReason.CUT_SHORT,
    "test_manufacturer_data_short_by_five": RejectReason.CUT_SHORT,
    "test_manufacturer_data_short_by_four": RejectReason.CUT_SHORT,
    "test_manufacturer_data_short_by_two": RejectReason.CUT_SHORT,
    "test_parse_advertisement_data_ignores_zero_type": RejectReason.CUT_SHORT,
    "test_parse_advertisement_data_recovers_from_corrupt_data": RejectReason.CUT_SHORT,
    "test_parse_advertisement_data_recovers_from_corrupt_data_2": RejectReason.CUT_SHORT,
    "test_parse_advertisement_data_recovers_from_corrupt_data_43": RejectReason.CUT_SHORT,
    "test_parse_advertisement_data_tx_power_multibyte_rejected": RejectReason.OVERLONG,
    "test_parse_advertisement_data_zero_padded_scan_included": RejectReason.RESERVED,
    "test_service_data_short": RejectReason.CUT_SHORT,
    "test_zero_padded_out_of_bounds_length": RejectReason.RESERVED,
}
"""Damaged payloads of the other parser's tests: what can be read is the same, and we name what cannot."""

REFUSED_EVENTS = {"test_BlueMaestro_THD": RejectReason.RESERVED, "test_cloth_dryer": RejectReason.CUT_SHORT}
"""Real devices: a scan response behind the zeros of an advertisement in one report, a list of services cut short."""


def vectors(corpus: Path, name: str) -> list[dict[str, Any]]:
    path = corpus / "ble" / "vectors" / name
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.splitlines()]


def as_expected(said: AdvertisementData) -> dict[str, Any]:
    return {
        "local_name": said.local_name,
        "service_uuids": sorted(said.service_uuids),
        "service_data": {uuid: {"hex": data.hex()} for uuid, data in said.service_data.items()},
        "manufacturer_data": {str(company): {"hex": data.hex()} for company, data in said.manufacturer_data.items()},
        "tx_power": said.tx_power_dbm,
    }


def test_advertising_data_of_another_parsers_tests(corpus: Path) -> None:
    refused = {}
    for row in vectors(corpus, "gap_advertisements.jsonl"):
        data = b"".join(bytes.fromhex(part) for part in row["adv_parts_hex"])
        said, rejects = read_ad(data)
        expected = row["expected"]
        if "service_uuids" in expected:
            expected["service_uuids"].sort()
        found = as_expected(said)
        assert {name: found[name] for name in expected} == expected, row["test"]
        if rejects:
            refused[row["test"]] = rejects[0].reason
            assert parse_ad(data) == rejects[0]
    assert refused == REFUSED_ADVERTS


def reports(event: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Address, RSSI and data of each report of an LE Advertising Report event (Core 6.0, Vol 4, Part E, 7.7.65)."""
    assert event[0] == 0x3E
    assert event[1] == len(event) - 2
    n_reports, at = event[3], 4
    for _ in range(n_reports):
        if event[2] == 0x02:
            address, octets = event[at + 2 : at + 8], event[at + 8]
            data = event[at + 9 : at + 9 + octets]
            at += 10 + octets
            rssi = event[at - 1]
        else:
            address, rssi, octets = event[at + 3 : at + 9], event[at + 13], event[at + 23]
            data = event[at + 24 : at + 24 + octets]
            at += 24 + octets
        assert len(data) == octets
        yield address[::-1].hex().upper(), rssi - 256 if rssi > 127 else rssi, data
    assert at == len(event)


def find_ibeacon(said: AdvertisementData) -> dict[str, Any] | None:
    """Fields of an iBeacon or AltBeacon, by their published layouts: code 0215 or BEAC, 16, 2, 2, 1 signed."""
    for data in said.manufacturer_data.values():
        if data[:2] in (b"\x02\x15", b"\xbe\xac") and len(data) >= 23:
            major, minor, power = struct.unpack(">HHb", data[18:23])
            return {"uuid": data[2:18].hex(), "major": major, "minor": minor, "measured power": power}
    return None


def test_hci_events_of_real_sensors_beacons_and_trackers(corpus: Path) -> None:
    rows = vectors(corpus, "bleparser_hci_events.jsonl")
    refused, beacons = {}, 0
    for row in rows:
        packet = bytes.fromhex(row["hci_event_hex"])
        assert packet[0] == 0x04
        ((address, rssi_dbm, data),) = reports(packet[1:])
        expected = row["expected"]
        assert address == expected["mac"]
        assert rssi_dbm == expected.get("rssi", rssi_dbm)
        said, rejects = read_ad(data)
        assert said.manufacturer_data or said.service_data or said.service_uuids, row["test"]
        if rejects:
            refused[row["test"]] = rejects[0].reason
        wanted = {name: expected[name] for name in ("uuid", "major", "minor", "measured power") if name in expected}
        found = find_ibeacon(said) or {}
        assert {name: found[name] for name in wanted} == wanted
        beacons += bool(wanted)
    assert refused == REFUSED_EVENTS
    assert (len(rows), beacons) == (89, 5)


def matches(layout: str, said: AdvertisementData) -> list[bytes] | None:
    """Identifiers of a beacon by an AltBeacon layout, None where it is not one; it counts from the company or UUID."""
    parts = layout.split(",")
    if parts[0].startswith("s:"):
        short = int(parts[0].partition("=")[2], 16)
        data = said.service_data.get(uuids.expand_uuid(short))
        body = None if data is None else short.to_bytes(2, "little") + data
    else:
        ((company, data),) = said.manufacturer_data.items() or ((0, b""),)
        body = company.to_bytes(2, "little") + data
    if body is None:
        return None
    found = []
    for part in parts:
        match = re.fullmatch(r"([mip]):(\d+)-(\d+)([lv]?)(?::-?\d+)?(?:=([0-9a-f]+))?", part)
        if match is None:
            continue
        kind, first, last, flag, code = match.groups()
        octets = body[int(first) : int(last) + 1]
        if kind == "m" and octets.hex() != code:
            return None
        if kind == "i":
            if len(octets) < int(last) + 1 - int(first) and not (flag == "v" and octets):
                return None
            found.append(octets[::-1] if flag == "l" else octets)
    return found


def test_scan_records_of_beacons(corpus: Path) -> None:
    """What the layouts find in our structures is what the assertions beside the records say."""
    n_found = n_none = 0
    for row in vectors(corpus, "altbeacon_adverts.jsonl"):
        said, _ = read_ad(bytes.fromhex(row["adv_hex"]))
        text = " ".join(row["assertions"])
        if row["test"] == "testSetBeaconLayout":
            continue
        found = matches(row["layout"][0], said) if said.manufacturer_data or said.service_data else None
        if text.startswith("Null"):
            assert found is None, row["test"]
            n_none += 1
            continue
        assert found is not None, row["test"]
        n_found += 1
        numbers = re.findall(
            r'"(0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|\d)", \w+\.get(?:Identifier\((\d)\)|Id(\d))', text
        )
        for value, by_index, by_number in numbers:
            octets = found[int(by_index) if by_index else int(by_number) - 1]
            if len(value) == 36:
                assert octets == UUID(value).bytes
            else:
                assert int.from_bytes(octets, "big") == int(value, 0)
        company = re.search(r"0x118 ?, ?beacon.getManufacturer", text)
        assert not company or set(said.manufacturer_data) == {0x118}
        if "bbaa" in text:
            assert set(said.manufacturer_data) == {0xBBAA}
    assert (n_found, n_none) == (9, 4)


def test_characteristics_of_another_projects_tests(corpus: Path) -> None:
    decoders = {"2A19": decode_battery_level, "2A07": decode_tx_power} | dict.fromkeys(
        ("2A24", "2A25", "2A26", "2A27", "2A28", "2A29"), decode_text
    )
    seen: Counter[str] = Counter()
    for row in vectors(corpus, "gatt_characteristics.jsonl.gz"):
        decode = decoders.get(row["uuid"])
        if decode is None:
            continue
        found = decode(bytes.fromhex(row["value_hex"]))
        assert (found.battery_pct if isinstance(found, BatteryLevel) else found) == row["expected"], row["test"]
        seen[row["uuid"]] += 1
    assert seen.keys() == decoders.keys()
    assert seen.total() == 19


def test_a_phones_capture(corpus: Path) -> None:
    data = (corpus / "ble" / "btsnoop" / "mauricelam-btsnoop-extcap.btsnoop").read_bytes()
    assert struct.unpack(">8sII", data[:16]) == (b"btsnoop\x00", 1, 1002)
    at, n_records, heard = 16, 0, []
    while at < len(data):
        original, included, _, _, _ = struct.unpack(">IIIIQ", data[at : at + 24])
        packet = data[at + 24 : at + 24 + included]
        assert original == included == len(packet)
        at += 24 + included
        n_records += 1
        if packet[0] == 0x04 and packet[1] == 0x3E and packet[3] in (0x02, 0x0D):
            heard += list(reports(packet[1:]))
    assert n_records == 222
    assert len(heard) == 12
    said = [parse_ad(data) for _, _, data in heard]
    assert not [row for row in said if isinstance(row, Reject)]
    assert all(-100 < rssi_dbm < -20 for _, rssi_dbm, _ in heard)


def test_names_of_companies_and_services_against_another_table(corpus: Path) -> None:
    """Both come from the same list at different dates: the other one is newer."""
    tables = corpus / "ble" / "tables"
    rows = json.loads(gzip.decompress((tables / "company_ids.json.gz").read_bytes()))
    companies = {row["code"]: row["name"] for row in rows}
    known = {number: find_company(number) for number in range(0x10000)}
    both = [number for number in companies if known[number] is not None]
    renamed = [number for number in both if known[number] != companies[number]]
    assert len(both) / len(companies) > 0.8
    assert len(renamed) / len(both) < 0.02
    assert find_company(0x004C) == "Apple, Inc."

    services = {row["uuid"].lower(): row["name"] for row in json.loads((tables / "service_uuids.json").read_text())}
    full = {uuids.expand_uuid(int(uuid, 16)) if len(uuid) == 4 else uuid: name for uuid, name in services.items()}
    unknown = [uuid for uuid in full if find_service(uuid) is None]
    renamed_services = [uuid for uuid in full if uuid not in unknown and find_service(uuid) != full[uuid]]
    assert len(unknown) <= 12
    assert renamed_services in ([], [uuids.expand_uuid(0x1855)])
    for uuid in (uuids.BATTERY_SERVICE, uuids.IMMEDIATE_ALERT_SERVICE, uuids.LOCATION_AND_NAVIGATION_SERVICE):
        assert find_service(uuid) == full[uuid]


ADVERTISING_ADDRESS = bytes.fromhex("d6be898e")
ROW = re.compile(r"^(\d+),[\d.]+,[0-9a-f:]*,(.*),-?\d+,(-?\d*),(\d*),(\d*)\r?$", re.MULTILINE)
"""Frame, name, TX power, PDU type and company in a table that Wireshark made of the same capture."""
WITH_DATA = {0: "ADV_IND", 2: "ADV_NONCONN_IND", 4: "SCAN_RSP", 6: "ADV_SCAN_IND"}


def packets(path: Path) -> Iterator[tuple[int, bytes | None, bool]]:
    """Type, advertising data (None: a type without) and whether it came undamaged, of a sniffer's pcapng capture."""
    data, at, link_type = gzip.decompress(path.read_bytes()), 0, 0
    while at < len(data):
        block, octets = struct.unpack("<II", data[at : at + 8])
        if block == 1:
            (link_type,) = struct.unpack("<H", data[at + 8 : at + 10])
        if block == 6:
            (captured,) = struct.unpack("<I", data[at + 20 : at + 24])
            packet = data[at + 28 : at + 28 + captured]
            whole = bool(packet[8] & 1) if link_type == 272 else packet[9] & 0x0C == 0x0C
            pdu = packet[packet.index(ADVERTISING_ADDRESS, 4 if link_type == 272 else 10) + 4 :]
            pdu_type = pdu[0] & 0x0F
            yield pdu_type, pdu[8 : 2 + pdu[1]] if pdu_type in WITH_DATA else None, whole
        at += octets


def test_sniffer_captures_against_what_wireshark_read_in_them(corpus: Path) -> None:
    """Of every undamaged packet the same; of one whose CRC is wrong anything, without an exception."""
    outcomes: Counter[str] = Counter()
    for capture in sorted((corpus / "ble" / "mitll").glob("*/*.pcapng.gz")):
        table = gzip.decompress(capture.with_name(capture.name.replace("pcapng", "csv")).read_bytes())
        read_there = {int(row[1]): row.groups()[1:] for row in ROW.finditer(table.decode("utf-8", errors="replace"))}
        for frame, (pdu_type, data, whole) in enumerate(packets(capture), 1):
            column = read_there.get(frame)
            if data is None or column is None:
                outcomes["no data" if data is None else "no row"] += 1
                continue
            name, tx_power, pdu_column, company = column
            assert int(pdu_column) == pdu_type
            said, rejects = read_ad(data)
            if not whole:
                outcomes["damaged"] += 1
                outcomes["damaged refused"] += bool(rejects)
                continue
            ours = (
                said.local_name or "",
                "" if said.tx_power_dbm is None else str(said.tx_power_dbm),
                ":".join(map(str, said.manufacturer_data)),
            )
            assert ours == (name, tx_power, company), f"{capture}, frame {frame}: {data.hex()}"
            assert not rejects
            outcomes["same"] += 1
    assert outcomes == {"same": 81_258, "damaged": 10_430, "damaged refused": 2_259, "no data": 5_575, "no row": 2}
