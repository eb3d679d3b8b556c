"""Which column of a table is the latitude, the time, the device; and in which unit numbers tell time."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rig.backtest.errors import HistoryError

F64 = npt.NDArray[np.float64]

ROLES = ("lat", "lon", "time", "device")

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "lat": ("lat", "latitude", "latdeg", "latitudedeg", "positionlat", "gpslat", "gpslatitude", "wgs84lat"),
    "lon": ("lon", "lng", "long", "longitude", "londeg", "longitudedeg", "positionlong", "gpslon", "gpslng",
            "gpslongitude", "wgs84lon"),
    "time": ("time", "timestamp", "ts", "t", "utc", "datetime", "timeutc", "utctime", "tutc", "timestamputc", "gpstime",
             "fixtime", "tfixutc", "recordedat", "epoch", "unixtime"),
    "device": ("device", "deviceid", "imei", "tag", "tagid", "wearer", "wearerid", "serial", "serialnumber", "unit",
               "unitid", "tracker", "trackerid"),
}  # fmt: skip
"""Names under which a role is looked for, small letters and digits only; one of a time may end in a unit
(``t_fix_utc_ns``)."""

UNIT_NS: Mapping[str, int] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Nanoseconds of each unit in which a number may count time since 1970."""

EARLIEST_S, LATEST_S = 315_964_800, 4_102_444_800
"""1980-01-06 (the first GPS time) and 2100-01-01, seconds since 1970. Between them the numbers of two units never
overlap, so a number tells its unit; a wider span would make some of them ambiguous."""

_UNIT_SUFFIX = re.compile(r"^(.*?)(ns|us|ms|s|seconds|millis|micros|nanos)$")
_UNIT_WORDS = {"seconds": "s", "millis": "ms", "micros": "us", "nanos": "ns"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRules:
    """What the user said about tables.

    ``names``: role to column name. ``time_unit``: one of `UNIT_NS`, or None to find out. ``timed``: False where fixes
    are judged by their order alone.
    """

    names: Mapping[str, str]
    time_unit: str | None
    timed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Indices of the columns of a table; ``time`` and ``device`` None where there is none."""

    lat: int
    lon: int
    time: int | None
    device: int | None
    unit: str | None
    """Unit that the option or the column's name says."""


def parse_column_map(text: str) -> dict[str, str]:
    """Read ``lat=latitude,lon=lng,time=ts,device=imei``.

    Raises
    ------
    HistoryError
        A role is unknown, stands twice, or has no name.
    """
    names: dict[str, str] = {}
    for part in text.split(","):
        role, equals, name = part.partition("=")
        role, name = role.strip(), name.strip()
        if role not in ROLES or not equals or not name or role in names:
            raise HistoryError(
                f"column map: expected each of {', '.join(ROLES)} at most once as ROLE=COLUMN, separated by commas, "
                f"got {part.strip()!r}. Example: lat=latitude,lon=lng,time=ts,device=imei"
            )
        names[role] = name
    return names


def find_columns(path: str, header: Sequence[str], rules: ColumnRules) -> Found:
    """Find the columns of a table.

    Raises
    ------
    HistoryError
        A column is missing, stands twice, or could be one of several.
    """
    at = {role: _find(path, header, role, rules) for role in ROLES}
    lat, lon = at["lat"], at["lon"]
    if lat is None or lon is None:
        role = "lat" if lat is None else "lon"
        raise HistoryError(
            f"{path}: no column for {role}; its columns are {_listed(header)}. Next: --columns {role}=NAME"
        )
    if at["time"] is None and rules.timed:
        raise HistoryError(
            f"{path}: no column for time; its columns are {_listed(header)}. Next: --columns time=NAME, or --no-times "
            "to judge by the order of the fixes alone"
        )
    time = at["time"] if rules.timed else None
    unit = rules.time_unit
    if unit is None and time is not None:
        unit = _unit_of(header[time])
    return Found(lat=lat, lon=lon, time=time, device=at["device"], unit=unit)


def _find(path: str, header: Sequence[str], role: str, rules: ColumnRules) -> int | None:
    wanted = rules.names.get(role)
    if wanted is not None:
        found = [i for i, name in enumerate(header) if name == wanted]
        if not found:
            raise HistoryError(
                f"{path}: no column {wanted!r} (asked for as {role}); its columns are {_listed(header)}. "
                f"Next: --columns {role}=NAME"
            )
    else:
        plain = [re.sub(r"[^a-z0-9]", "", name.casefold()) for name in header]
        usual = USUAL_NAMES[role]
        found = [i for i, name in enumerate(plain) if name in usual]
        if not found and role == "time":
            found = [i for i, name in enumerate(plain) if (m := _UNIT_SUFFIX.match(name)) and m[1] in usual]
    if len(found) > 1:
        raise HistoryError(
            f"{path}: {_listed([header[i] for i in found])} could each be the {role}. Next: --columns {role}=NAME"
            + ("" if wanted is None else ", with a name that stands once in the file")
        )
    return found[0] if found else None


def _unit_of(name: str) -> str | None:
    plain = re.sub(r"[^a-z0-9]", "", name.casefold())
    match = _UNIT_SUFFIX.match(plain)
    if plain in USUAL_NAMES["time"] or match is None or match[1] not in USUAL_NAMES["time"]:
        return None
    return _UNIT_WORDS.get(match[2], match[2])


def guess_unit(path: str, column: str, values: F64) -> str | None:
    """Tell the unit of numbers that count time; None where there is no number yet.

    Raises
    ------
    HistoryError
        They are not all of one unit within 1980 to 2100.
    """
    seen = values[np.isfinite(values)]
    if not seen.size:
        return None
    for unit, ns in UNIT_NS.items():
        per_s = 1_000_000_000 // ns
        if ((seen >= EARLIEST_S * per_s) & (seen < LATEST_S * per_s)).all():
            return unit
    raise HistoryError(
        f"{path}: column {column!r} holds numbers from {seen.min():.15g} to {seen.max():.15g}, which are no times of "
        f"1980 to 2100 in one unit. Next: --time-unit {'|'.join(UNIT_NS)}"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")
