"""NMEA sentences on their way through a fault: framed, changed, sealed again. What is damaged passes as it is."""

import math
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from protocols.nmea.checksum import checksum, seal
from protocols.nmea.tag import STATUS_ADDRESS

CAP_BYTES: Final = 1024
"""Longest sentence that is waited for. Without it a line without line ends would be held for ever."""

DAY_S: Final = 86_400

EARTH_RADIUS_M: Final = 6_371_008.8
"""Mean radius (IUGG): a fault is off by metres, no more is asked of it."""

_LATITUDE: Final = {"RMC": 3, "GGA": 2, "GNS": 2, "GLL": 1}
"""Field of the latitude; its hemisphere, longitude and hemisphere follow."""
_TIME: Final = {"RMC": 1, "GGA": 1, "GNS": 1, "GLL": 5, "GST": 1, "ZDA": 1}
_RMC_DATE: Final = 9
_STATUS_UTC: Final = 2
_STATUS_JAM: Final = 8


@dataclass(slots=True, kw_only=True)
class Sentence:
    """One sentence whose checksum was right: its fields without checksum, the address first."""

    fields: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """``RMC``, ``GGA``, ...; the whole address of the tag's own."""
        address = self.fields[0]
        return address if address.startswith("P") else address[-3:]

    def find_position(self) -> tuple[float, float] | None:
        """Latitude and longitude in degrees."""
        at = _LATITUDE.get(self.kind)
        if at is None or len(self.fields) < at + 4:
            return None
        lat, north, lon, east = self.fields[at : at + 4]
        try:
            lat_deg, lon_deg = _degrees(lat, 2), _degrees(lon, 3)
        except ValueError:
            return None
        return -lat_deg if north == "S" else lat_deg, -lon_deg if east == "W" else lon_deg

    def set_position(self, lat_deg: float, lon_deg: float) -> None:
        """Write a position with as many decimals as there were."""
        at = _LATITUDE[self.kind]
        decimals = len(self.fields[at].partition(".")[2])
        lon_deg = (lon_deg + 180) % 360 - 180
        self.fields[at : at + 4] = [
            _digits(abs(lat_deg), 2, decimals),
            "S" if lat_deg < 0 else "N",
            _digits(abs(lon_deg), 3, decimals),
            "W" if lon_deg < 0 else "E",
        ]

    def clear_position(self) -> None:
        """Write what a receiver without a fix says."""
        kind, fields = self.kind, self.fields
        at = _LATITUDE.get(kind)
        if at is not None and len(fields) >= at + 4:
            fields[at : at + 4] = [""] * 4
        match kind:
            case "RMC":
                fields[2] = "V"
                fields[7:9] = ["", ""]
                if len(fields) > 12:
                    fields[12] = "N"
            case "GGA":
                fields[6], fields[7] = "0", "00"
                fields[8] = "99.99"
                fields[9] = fields[11] = ""
            case "GLL" if len(fields) > 6:
                fields[6] = "V"
            case "GSA":
                fields[2] = "1"
                fields[3:15] = [""] * 12
            case "GST":
                fields[2:9] = [""] * len(fields[2:9])

    def find_time_s(self) -> float | None:
        """Time of day in seconds."""
        text = self._time_text()
        try:
            return int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])
        except ValueError:
            return None

    def _time_text(self) -> str:
        if self.kind == STATUS_ADDRESS:
            return self.fields[_STATUS_UTC][8:]
        at = _TIME.get(self.kind)
        return self.fields[at] if at is not None and at < len(self.fields) else ""

    def set_time(self, days: int, time_s: float, *, inserted: bool = False) -> None:
        """Write a time of day, and a date so many days later than it was; ``inserted``: as the second 60 before it."""
        text = self._time_text()
        decimals = len(text.partition(".")[2])
        unit = 10**decimals
        steps = round(time_s * unit)
        if inserted:
            steps -= unit
            whole, second = divmod(steps, 60 * unit)
            second += unit
        else:
            whole, second = divmod(steps, 60 * unit)
        seconds = f"{second // unit:02d}" + (f".{second % unit:0{decimals}d}" if decimals else "")
        new = f"{whole // 60:02d}{whole % 60:02d}{seconds}"
        if self.kind == STATUS_ADDRESS:
            self.fields[_STATUS_UTC] = _later(self.fields[_STATUS_UTC][:8], days) + new
            return
        self.fields[_TIME[self.kind]] = new
        if self.kind == "RMC" and len(self.fields) > _RMC_DATE and len(day := self.fields[_RMC_DATE]) == 6:
            century = "19" if day[4:] >= "80" else "20"
            then = _later(f"{century}{day[4:]}{day[2:4]}{day[:2]}", days)
            self.fields[_RMC_DATE] = then[6:8] + then[4:6] + then[2:4]
        if self.kind == "ZDA" and all(self.fields[2:5]):
            then = _later("".join(reversed(self.fields[2:5])), days)
            self.fields[2:5] = [then[6:8], then[4:6], then[:4]]

    def weaken(self, by_db: float, *, least_dbhz: float) -> None:
        """Take so much from the C/N0 of all satellites in view; below the least they are not tracked."""
        if self.kind == "GSV":
            for at in range(7, min(len(self.fields), 20), 4):
                if self.fields[at].isdigit():
                    left = int(self.fields[at]) - by_db
                    self.fields[at] = f"{left:02.0f}" if left >= least_dbhz else ""

    def level(self, dbhz: int) -> None:
        """Give all satellites in view the same C/N0."""
        if self.kind == "GSV":
            for at in range(7, min(len(self.fields), 20), 4):
                self.fields[at] = f"{dbhz:02d}"

    def set_jamming(self, level: int) -> None:
        """Have the tag's status tell of jamming."""
        if self.kind == STATUS_ADDRESS and len(self.fields) > _STATUS_JAM:
            self.fields[_STATUS_JAM] = str(level)


def find_sentence(line: bytes) -> Sentence | None:
    """Read one line; None where it is no whole sentence."""
    start, star = line.rfind(b"$"), line.rfind(b"*")
    if start < 0 or star < start or not line.isascii():
        return None
    body = line[start + 1 : star]
    try:
        if int(line[star + 1 : star + 3], 16) != checksum(body):
            return None
    except ValueError:
        return None
    return Sentence(fields=body.decode("ascii").split(","))


class SentenceFault:
    """A fault of what a receiver says. Subclasses change one sentence after the other."""

    due_ns: int | None = None

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, data: bytes, t_ns: int) -> list[bytes]:
        """Hold until a line is whole, change it, hand it on."""
        self._held += data
        end = self._held.rfind(b"\n") + 1
        if not end and len(self._held) > CAP_BYTES:
            end = len(self._held)
        lines, self._held = bytes(self._held[:end]), self._held[end:]
        out = b"".join(map(self._line, lines.splitlines(keepends=True)))
        return [out] if out else []

    def end(self) -> list[bytes]:
        """Give the piece of a sentence that was held."""
        held, self._held = bytes(self._held), bytearray()
        return [held] if held else []

    def _line(self, line: bytes) -> bytes:
        sentence = find_sentence(line)
        if sentence is None:
            return line
        before = list(sentence.fields)
        self.change(sentence)
        if sentence.fields == before:
            return line
        return line[: line.rfind(b"$")] + seal(",".join(sentence.fields))

    def change(self, sentence: Sentence) -> None:
        """Change the fields of a sentence."""
        raise NotImplementedError


def moved(lat_deg: float, lon_deg: float, distance_m: float, bearing_deg: float) -> tuple[float, float]:
    """Position so far off along a great circle of a sphere."""
    lat, lon, bearing = map(math.radians, (lat_deg, lon_deg, bearing_deg))
    arc = distance_m / EARTH_RADIUS_M
    there = math.asin(math.sin(lat) * math.cos(arc) + math.cos(lat) * math.sin(arc) * math.cos(bearing))
    turned = math.atan2(
        math.sin(bearing) * math.sin(arc) * math.cos(lat), math.cos(arc) - math.sin(lat) * math.sin(there)
    )
    return math.degrees(there), math.degrees(lon + turned)


def _degrees(text: str, width: int) -> float:
    return int(text[:width]) + float(text[width:]) / 60


def _digits(degrees: float, width: int, decimals: int) -> str:
    unit = 10**decimals
    whole, rest = divmod(round(degrees * 60 * unit), 60 * unit)
    minutes, fraction = divmod(rest, unit)
    return f"{whole:0{width}d}{minutes:02d}" + (f".{fraction:0{decimals}d}" if decimals else "")


def _later(day: str, days: int) -> str:
    """``yyyymmdd`` so many days later; as it is where it is no date."""
    try:
        then = date(int(day[:4]), int(day[4:6]), int(day[6:8])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return day
    return then.strftime("%Y%m%d")
