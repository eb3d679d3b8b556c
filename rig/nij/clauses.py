"""Clauses, and what a run measures of each.

Only clauses whose number is found in a document that quotes the standard stand here. What "indoors" is judged by, and
the loads of the strap test, are not known; battery has limits of its own that were not seen.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from protocols.mqtt.messages import AlertEvent, AlertKind, decode
from protocols.mqtt.times import utc_ns
from protocols.mqtt.topics import Side, Stream, find_topic
from rig.emulator.events import EventKind
from rig.errors import BenchBrokenError
from rig.runs.folder import MESSAGES_FILE
from rig.runs.load import LoadedRun, read_lines
from rig.runs.received import Received
from rig.truth.findings import Measurement
from rig.truth.geometry import separation_m, signed_distance_m
from rig.truth.records import TruthEpoch

TAG: Final = "tag-1"
ACTIVE_ZONE: Final = "z-active"
PASSIVE_ZONE: Final = "z-passive"
"""Names in the two scenarios."""

_STEP_S: Final = 0.1
"""Seconds between looks at the truth for the moment at which a zone is entered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One clause and what was measured.

    Attributes
    ----------
    number, what : str
        As the standard counts and means it.
    mark : str
        F: found in the document itself; F2: in one that quotes it.
    measurement : Measurement
        With the clause's limit.
    note : str
        What the figure stands for here.
    """

    number: str
    what: str
    mark: str
    measurement: Measurement
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An alert as the agency got it; times in the scenario's seconds."""

    kind: AlertKind
    zone_id: str | None
    cleared: bool
    occurred_s: float
    received_s: float


def outdoor_clauses(run: LoadedRun) -> Iterator[Clause]:
    """Measure what the run in the open shows."""
    told = list(read_told(run))
    epochs = run.record.truth[TAG].epochs
    yield _first_fix(run, epochs)
    yield _accuracy_outdoors(run)
    yield Clause(
        number="5.3.5, 6.12",
        what="alert to the agency, active tracking",
        mark="F2",
        measurement=_seconds("zone_alert", 240, [_zone_alert_s(run, told, ACTIVE_ZONE, _entry_s(run, ACTIVE_ZONE))]),
        note="from the moment he truly enters the zone; a report every 5 s",
    )
    upload_s = _ends(run, EventKind.OUTAGE_END)
    yield Clause(
        number="5.3.5",
        what="alert to the agency, passive tracking",
        mark="F2",
        measurement=_seconds("stored_zone_alert", 900, [_zone_alert_s(run, told, PASSIVE_ZONE, upload_s)]),
        note="zone entered without coverage; from the start of the upload",
    )
    cut = next((each for each in told if each.kind is AlertKind.STRAP_TAMPER and not each.cleared), None)
    yield Clause(
        number="5.4.1, 6.19",
        what="strap cut: time-stamped event generated",
        mark="F2",
        measurement=_seconds(
            "strap_event", 5, [] if cut is None else [cut.occurred_s - _ends(run, EventKind.STRAP_CUT)]
        ),
    )
    yield Clause(
        number="5.4.1",
        what="strap cut: report at the data centre",
        mark="F2",
        measurement=_seconds("strap_report", 180, [] if cut is None else [cut.received_s - cut.occurred_s]),
        note="from the event's own time stamp",
    )
    yield _export(run, epochs)
    for kind, event, what in (
        (AlertKind.SHIELDING_SUSPECTED, EventKind.SHIELD_ON, "metallic shielding"),
        (AlertKind.JAMMING_SUSPECTED, EventKind.JAM, "jamming of satellite signals"),
    ):
        yield _detection(run, told, kind, event, what)


def indoor_clauses(run: LoadedRun) -> Iterator[Clause]:
    """Measure what the run in a building shows."""
    errors = sorted(_errors_m(run))
    median = [errors[(len(errors) - 1) // 2]] if errors else []
    yield Clause(
        number="5.3.2",
        what="accuracy indoors",
        mark="F2",
        measurement=Measurement(
            name="indoor_error", unit="m", limit="<= 30", series=tuple((run.scenario.duration_s, m) for m in median)
        ),
        note="median: which share the standard asks for is not known; the building is the profile 'indoor'",
    )
    told = [
        each for each in read_told(run) if each.kind in {AlertKind.SHIELDING_SUSPECTED, AlertKind.JAMMING_SUSPECTED}
    ]
    yield Clause(
        number="5.7",
        what="no alert of shielding or jamming by weak signals",
        mark="F2",
        measurement=Measurement(
            name="false_detections", unit="alerts", limit="== 0", series=((run.scenario.duration_s, float(len(told))),)
        ),
        note=f"in {run.scenario.duration_s:g} s indoors",
    )


def on_demand_clause(waits_s: list[float]) -> Clause:
    """Make the clause of location on demand from what requests took."""
    return Clause(
        number="5.3.3",
        what="location on demand",
        mark="F2",
        measurement=_seconds("location_on_demand", 180, waits_s),
        note=f"{len(waits_s)} requests to a tag that reports once an hour, from the command to the decoded position",
    )


def read_told(run: LoadedRun) -> Iterator[Told]:
    """Read the alerts of his side, with the times that they name."""
    for message in read_lines(run.folder / MESSAGES_FILE, Received):
        topic = find_topic(message.topic)
        if topic is None or topic.stream is not Stream.ALERT or topic.side is not Side.TAG:
            continue
        data = decode(bytes(message.payload), AlertEvent).data
        yield Told(
            kind=data.kind,
            zone_id=data.zone.id if data.zone is not None else None,
            cleared=data.msg_type.value == "Cancel",
            occurred_s=(utc_ns(data.occurred_at) - run.file.start_utc_ns) / 1e9,
            received_s=run.file.t_s(message.t_sub_mono_ns),
        )


def _seconds(name: str, limit_s: float, values_s: list[float]) -> Measurement:
    series = tuple((0.0, round(value, 3)) for value in values_s)
    return Measurement(name=name, unit="s", limit=f"<= {limit_s:g}", series=series)


def _ends(run: LoadedRun, kind: EventKind) -> float:
    """When something happened to the tag, by the scenario."""
    person = run.scenario.person[0]
    found = next((each.at_s for each in run.scenario.actions(person) if each.kind is kind), None)
    if found is None:
        raise BenchBrokenError(f"the scenario has no event {kind.value}. Next: play the suite's own")
    return found


def _first_fix(run: LoadedRun, epochs: list[TruthEpoch]) -> Clause:
    waits = []
    for on_s in (0.0, _ends(run, EventKind.POWER_ON)):
        fixed = next((each.t_s for each in epochs if each.t_s >= on_s and each.lat_deg is not None), None)
        if fixed is not None:
            waits.append(fixed - on_s)
    return Clause(
        number="5.3.1",
        what="first position in the open after power-on",
        mark="F2",
        measurement=_seconds("first_fix", 120, waits),
        note="an emulated receiver with valid ephemeris, to its first report; a real one decides here",
    )


def _accuracy_outdoors(run: LoadedRun) -> Clause:
    errors = sorted(_errors_m(run))
    rank = [errors[max(0, -(-9 * len(errors) // 10) - 1)]] if errors else []
    return Clause(
        number="5.3.2",
        what="accuracy outdoors, 90 % of the time",
        mark="F2",
        measurement=Measurement(
            name="outdoor_error_p90", unit="m", limit="<= 10", series=tuple((run.scenario.duration_s, m) for m in rank)
        ),
        note=f"of {len(errors)} positions as the agency got them, profile 'open_sky'",
    )


def _errors_m(run: LoadedRun) -> Iterator[float]:
    """How far off each told position was."""
    track = run.scenario.track(run.scenario.person[0])
    for fix in run.record.fixes:
        if fix.device == TAG:
            point = track.at(fix.t_s)
            yield separation_m(fix.lat_deg, fix.lon_deg, point.lat_deg, point.lon_deg)


def _entry_s(run: LoadedRun, zone_id: str) -> float:
    feature = next(each for each in run.scenario.zones_geojson()["features"] if each["id"] == zone_id)
    track = run.scenario.track(run.scenario.person[0])
    for i in range(int(run.scenario.duration_s / _STEP_S)):
        point = track.at(i * _STEP_S)
        if signed_distance_m(feature, point.lat_deg, point.lon_deg) <= 0:
            return i * _STEP_S
    raise BenchBrokenError(f"nobody enters zone {zone_id!r} in this scenario. Next: play the suite's own")


def _zone_alert_s(run: LoadedRun, told: list[Told], zone_id: str, since_s: float) -> float:
    found = next((each.received_s for each in told if each.zone_id == zone_id and not each.cleared), None)
    # An alert that never came took longer than the run.
    return (run.scenario.duration_s if found is None else found) - since_s


def _export(run: LoadedRun, epochs: list[TruthEpoch]) -> Clause:
    """Every position that the tag measured, stored ones included, is at the agency, with its time."""
    told = {round(fix.t_s, 2) for fix in run.record.fixes if fix.device == TAG}
    measured = {round(each.t_s, 2) for each in epochs if each.lat_deg is not None}
    share = 100.0 * len(measured & told) / len(measured) if measured else 0.0
    return Clause(
        number="5.5.1",
        what="all historical locations with latitude, longitude, time and date",
        mark="F2",
        measurement=Measurement(
            name="locations_exported", unit="%", limit=">= 100", series=((run.scenario.duration_s, share),)
        ),
        note=f"{len(measured)} positions, {sum(each.stored for each in epochs)} of them stored in the tag for a while",
    )


def _detection(run: LoadedRun, told: list[Told], kind: AlertKind, event: EventKind, what: str) -> Clause:
    since_s = _ends(run, event)
    found = [each.received_s - since_s for each in told if each.kind is kind and not each.cleared]
    return Clause(
        number="5.7",
        what=f"detection of {what} (optional)",
        mark="F2",
        measurement=_seconds(f"{kind.value}_alert", 240, found[:1]),
        note="the clause names no time; held against the zone alert's",
    )


Measuring = Callable[[LoadedRun], Iterator[Clause]]
"""Measures clauses of a run."""
