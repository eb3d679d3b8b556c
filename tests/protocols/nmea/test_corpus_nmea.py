"""Real receiver logs: every position that stands in a log is decoded and none is invented, by independent code."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocols.nmea import NmeaCounters, NmeaDecoder
from protocols.rejects import RejectReason
from protocols.reports import Fix, FixState
from tests.protocols.nmea.support import read_log, run

pytestmark = pytest.mark.corpus

SENTENCE = re.compile(rb"\$((?!P[^Q])[A-Z][A-Z0-9](RMC|GGA|GLL|GNS),([^*$!\r\n]*))\*([0-9A-Fa-f]{2})")
PLACES = {"RMC": (0, 2), "GGA": (0, 1), "GLL": (4, 0), "GNS": (0, 1)}
"""Index of the time and of the first coordinate."""

NOT_IN_OUR_FIXES = {
    "simulator": {"GPSmap-76S.log": 2, "garmin-geko201.log": 2},
    "void": {"myguide-3100.log": 2},
}
"""Positions of the expected output that are no fix of ours, by reason: see the table in protocols/README.md."""


def logs(corpus: Path) -> list[Path]:
    found = sorted(
        path
        for folder in ("gpsd", "long", "small")
        for path in (corpus / "nmea" / folder).iterdir()
        if ".chk" not in path.name
    )
    assert len(found) > 60
    return found


def is_valid(kind: str, fields: list[str]) -> bool:
    if kind == "GGA":
        return fields[5] in ("1", "2", "3", "4", "5", "9")
    if kind == "GNS":
        return any(letter in fields[5] for letter in "ADPRF")
    status_at, letter_at = (1, 11) if kind == "RMC" else (5, 6)
    status = fields[status_at] if len(fields) > status_at else "A"
    letter = fields[letter_at] if len(fields) > letter_at else ""
    return status == "A" and letter not in ("E", "M", "S", "N")


def raw_positions(data: bytes) -> Iterator[tuple[str, float, float, float]]:
    """Time text, latitude, longitude and one unit of the last decimal of each valid position, read from the bytes."""
    for match in SENTENCE.finditer(data):
        value = 0
        for byte in match[1]:
            value ^= byte
        if value != int(match[4], 16):
            continue
        kind, fields = match[2].decode(), match[3].decode("ascii").split(",")
        time_at, at = PLACES[kind]
        if not is_valid(kind, fields) or not all(fields[at : at + 4]):
            continue
        signed = []
        for text, letter, width in ((fields[at], fields[at + 1], 2), (fields[at + 2], fields[at + 3], 3)):
            degrees = float(text[:width]) + float(text[width:]) / 60
            signed.append(-degrees if letter in "SW" else degrees)
        decimals = min(len(fields[at].partition(".")[2]), len(fields[at + 2].partition(".")[2]))
        time = fields[time_at] if len(fields) > time_at else ""
        yield time, signed[0], signed[1], 10.0**-decimals / 60


def nanoseconds(time: str) -> int | None:
    return (int(time[:2]) * 3600 + int(time[2:4]) * 60) * 10**9 + round(float(time[4:]) * 1e9) if time else None


@dataclass(frozen=True)
class Decoded:
    path: Path
    data: bytes
    fixes: list[Fix]
    counters: NmeaCounters


@pytest.fixture(scope="module")
def decoded(corpus: Path) -> list[Decoded]:
    """Every log, decoded once; any exception is an error of all tests here."""
    out = []
    for path in logs(corpus):
        data = read_log(path)
        decoder = NmeaDecoder()
        reports = decoder.feed(data) + decoder.close()
        found = [item for item in reports if isinstance(item, Fix)]
        out.append(Decoded(path=path, data=data, fixes=found, counters=decoder.counters))
    return out


def test_every_position_in_every_log_is_decoded_and_none_invented(decoded: list[Decoded]) -> None:
    seen = 0
    for log in decoded:
        path, data = log.path, log.data
        found = [fix for fix in log.fixes if fix.state is FixState.POSITION]
        ours: dict[int | None, list[tuple[float, float]]] = {}
        for fix in found:
            assert fix.lat_deg is not None and fix.lon_deg is not None
            ours.setdefault(fix.time_of_day_ns, []).append((fix.lat_deg, fix.lon_deg))
        theirs: dict[int | None, list[tuple[float, float]]] = {}
        for time, lat, lon, step in raw_positions(data):
            seen += 1
            time_ns = nanoseconds(time)
            near = max(step * 1.01, 2e-6)
            theirs.setdefault(time_ns, []).append((lat, lon))
            assert any(
                abs(fix_lat - lat) <= near and abs(fix_lon - lon) <= near for fix_lat, fix_lon in ours.get(time_ns, [])
            ), f"{path.name}: lost {time} {lat} {lon}"
        for time_ns, places in ours.items():
            for fix_lat, fix_lon in places:
                assert any(
                    abs(fix_lat - lat) < 1e-12 and abs(fix_lon - lon) < 1e-12 for lat, lon in theirs.get(time_ns, [])
                ), f"{path.name}: invented {time_ns} {fix_lat} {fix_lon}"
    assert seen > 19_000


def expected_positions(path: Path) -> list[dict[str, float]]:
    plain = path.with_name(path.name.removesuffix(".gz") + ".chk")
    text = plain.read_bytes() if plain.exists() else gzip.decompress(plain.with_name(plain.name + ".gz").read_bytes())
    objects = [json.loads(row) for row in text.split(b"\n") if row.startswith(b'{"class":"TPV"')]
    return [item for item in objects if item.get("mode", 0) >= 2 and "lat" in item]


def test_the_expected_output_of_the_receiver_logs(decoded: list[Decoded]) -> None:
    """Each expected position is one of our fixes at the same place and, where both have a date, the same time."""
    total = matched = timed = 0
    differences: dict[str, int] = {}
    for log in decoded:
        path, found = log.path, log.fixes
        if path.parent.name != "gpsd":
            continue
        name = path.name.removesuffix(".gz")
        for expected in expected_positions(path):
            total += 1
            # The expected output has nine decimals; receivers with more than one sentence type round differently.
            same = [
                fix
                for fix in found
                if fix.lat_deg is not None
                and fix.lon_deg is not None
                and abs(fix.lat_deg - expected["lat"]) < 2e-6
                and abs(fix.lon_deg - expected["lon"]) < 4e-6
            ]
            if not same:
                differences[name] = differences.get(name, 0) + 1
                continue
            matched += 1
            times = [
                datetime.fromtimestamp(fix.t_fix_utc_ns // 10**9, UTC).strftime("%H:%M:%S")
                for fix in same
                if fix.t_fix_utc_ns is not None
            ]
            if "time" in expected:
                timed += 1
                assert str(expected["time"])[11:19] in times, f"{name}: {expected['time']} not in {times}"
    assert differences == {name: count for rows in NOT_IN_OUR_FIXES.values() for name, count in rows.items()}
    assert total > 4000
    assert matched == total - 6
    assert timed > 3500


def test_every_framed_sentence_is_accounted_for(decoded: list[Decoded]) -> None:
    for log in decoded:
        counters = log.counters
        refused = sum(
            counters.rejects_by_reason.get(reason, 0)
            for reason in (RejectReason.BAD_FIELD, RejectReason.BAD_HEMISPHERE)
        )
        assert counters.framed == counters.sentences + counters.ignored + refused
        assert counters.bytes_in == len(log.data)


def test_logs_without_checksums_need_the_switch(corpus: Path) -> None:
    data = read_log(corpus / "nmea" / "small" / "stanford-nmea_no_checksum.nmea")
    assert not [item for item in run([data]) if isinstance(item, Fix)]
    assert len([item for item in run([data], require_checksum=False) if isinstance(item, Fix)]) == 2
