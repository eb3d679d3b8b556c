"""Runs made by hand: emulated tags without I/O, a plain judge of some fifty lines in place of the bridge, no waiting.

The plain judge reads every report as it stands and tells at once what it shows; a run of it must pass whatever the
receivers' errors are, and one whose messages were tampered with must not.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from protocols.mqtt.messages import AlertKind, BandName, MsgType, Trace, WarningStep
from rig.demo.latency import TruthTail
from rig.emulator.clock import NS_PER_S, SEEDED_START_UTC_NS
from rig.emulator.firmware import AnkleTagFirmware, Outgoing, TagConfig
from rig.runs.record import AlertSeen, Felt, RunRecord, StepSeen
from rig.scenario import PersonTable, Scenario, load_scenario
from rig.truth.expectation import JudgePolicy
from rig.truth.geometry import separation_m, signed_distance_m
from rig.truth.lines import LEVEL
from rig.truth.records import TruthEpoch
from rig.truth.verdict import ReceivedAlert

START_NS = 10 * NS_PER_S
WAY_S = 0.02
"""From a report to the subscriber, seconds."""

HEAD = """
title = "made by hand"
duration_s = {duration}
origin = {{ lat_deg = 51.0, lon_deg = -6.5 }}
"""
ZONE = """
[[zone]]
id = "z"
name = "Park"
purpose = "{purpose}"
centre_m = [100, 0]
radius_m = 40
"""
PERSON = """
[[person]]
device = "{device}"
role = "{role}"
interval_s = {interval}
profile = "{profile}"
waypoint = [{waypoints}]
event = [{events}]
"""
ORDER = """
[[order]]
id = "o"
wearer = "tag-1"
"""
RINGS = """
[[order]]
id = "o"
wearer = "tag-1"
protected = [{ device = "pp-1", contact_m = 20, alarm_m = 100, pre_alert_m = 200 }]
"""
APPROACH = "{at_m=[-260,0], wait_s=20}, {at_m=[-4,0], speed_mps=1.6, wait_s=60}"


def make(folder: Path, text: str) -> Scenario:
    path = folder / "scenario.toml"
    path.write_text(text)
    return load_scenario(path)


def walk_text(
    waypoints: str, *, duration: float = 200, events: str = "", purpose: str = "exclusion", interval: float = 1.0
) -> str:
    person = PERSON.format(
        device="tag-1", role="wearer", interval=interval, profile="open_sky", waypoints=waypoints, events=events
    )
    return HEAD.format(duration=duration) + ZONE.format(purpose=purpose) + person + ORDER


def pair_text(
    his: str = APPROACH,
    hers: str = "{at_m=[0,0]}",
    *,
    duration: float = 260,
    events: str = "",
    interval: float = 1.0,
    profile: str = "open_sky",
    tag: str = 'smart_tag = { id = "st-1" }',
    more: str = "",
) -> str:
    same = {"interval": interval, "profile": profile}
    return (
        HEAD.format(duration=duration)
        + PERSON.format(device="tag-1", role="wearer", waypoints=his, events=events, **same)
        + PERSON.format(device="pp-1", role="protected", waypoints=hers, events="", **same)
        + tag
        + RINGS
        + more
    )


def policy(scenario: Scenario, **changes: float) -> JudgePolicy:
    base = JudgePolicy(
        exit_margin_m=10.0,
        silence_s={person.device: person.interval_s + 10 for person in scenario.person},
        reconnect_s=7.0,
        allowance_s=0.3,
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # by name


@dataclass
class Scene:
    """A run under way: what the tags sent, and what the plain judge tells of it."""

    scenario: Scenario
    policy: JudgePolicy
    record: RunRecord = field(default_factory=lambda: RunRecord(start_mono_ns=START_NS, messages=1))
    way_s: Callable[[float], float] = lambda t_s: WAY_S
    _in: dict[object, bool] = field(default_factory=dict)
    _raised: set[object] = field(default_factory=set)
    _level: int = 0
    _newest: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    def tell(self, t_s: float, kind: AlertKind, subject: str, *, on: bool, **more: object) -> None:
        """Send an alert at a moment."""
        index, cause_ns = len(self.record.alerts), START_NS + round(t_s * NS_PER_S)
        got_ns = cause_ns + round(self.way_s(t_s) * NS_PER_S)
        side = "tag" if subject.startswith("tag") else "protected"
        band = more.get("band")
        about = more.get("about")
        zone_id = more.get("zone_id")
        key = (kind, subject, zone_id, about)
        again = on and key in self._raised
        (self._raised.add if on else self._raised.discard)(key)
        self.record.alerts.append(
            AlertSeen(
                index=index,
                topic="",
                alert=ReceivedAlert(
                    kind=kind,
                    cleared=not on,
                    side="tag" if side == "tag" else "protected",
                    subject=subject,
                    zone_id=str(zone_id) if zone_id else None,
                    band=band if isinstance(band, BandName) else None,
                    t_s=(got_ns - START_NS) / NS_PER_S,
                    index=index,
                    about=str(about) if about else None,
                ),
                msg_type=MsgType.UPDATE if again else MsgType.ALERT if on else MsgType.CANCEL,
                reason="",
                zone_name=None,
                distance_m=None,
                lat_deg=None,
                lon_deg=None,
                accuracy_m=None,
                trace=Trace(
                    boot_id="b",
                    device_id=str(more.get("cause") or subject),
                    rx_mono_ns=cause_ns + 1000,
                    decoded_mono_ns=cause_ns + 2000,
                    judged_mono_ns=cause_ns + 3000,
                    submitted_mono_ns=cause_ns + 4000,
                ),
                t_sub_mono_ns=got_ns,
                late=False,
                severity="Severe",
                event_id=f"e-{index}",
            )
        )

    def run(self, seed: int) -> None:
        """Play it to its end."""
        self.record.truth = {p.device: TruthTail(Path("/nonexistent")) for p in self.scenario.person}
        last: dict[tuple[str, AlertKind], float] = {}
        lost: set[tuple[str, AlertKind]] = set()
        for person, out in _sent(self.scenario, seed):
            t_s = out.epoch.t_ns / NS_PER_S
            self._past(t_s, last, lost)
            self._log(person, out)
            position = out.epoch.observation.position
            kinds = [AlertKind.COMMS_LOST] + [AlertKind.LOCATION_LOST] * (position is not None and not out.stored)
            for kind in kinds:
                last[person.device, kind] = t_s
                if (person.device, kind) in lost:
                    lost.discard((person.device, kind))
                    self.tell(t_s, kind, person.device, on=False)
            if position is not None and not out.stored:
                self._judge(person, t_s, position.lat_deg, position.lon_deg)
        self._past(self.scenario.duration_s + 60, last, lost)

    def _past(self, t_s: float, last: dict[tuple[str, AlertKind], float], lost: set[tuple[str, AlertKind]]) -> None:
        """Tell the silences that were over their limit before a moment."""
        for person in self.scenario.person:
            for kind in (AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST):
                due_s = last.get((person.device, kind), 0.0) + self.policy.silence_s[person.device]
                if due_s < t_s and due_s <= self.scenario.duration_s and (person.device, kind) not in lost:
                    lost.add((person.device, kind))
                    self.tell(due_s, kind, person.device, on=True)

    def _log(self, person: PersonTable, out: Outgoing) -> None:
        epoch, position = out.epoch, out.epoch.observation.position
        self.record.truth[person.device].epochs.append(
            TruthEpoch(
                sequence=epoch.sequence,
                t_s=epoch.t_ns / NS_PER_S,
                t_utc_ns=epoch.t_utc_ns,
                stored=out.stored,
                true_lat_deg=epoch.truth.lat_deg,
                true_lon_deg=epoch.truth.lon_deg,
                lat_deg=None if position is None else position.lat_deg,
                lon_deg=None if position is None else position.lon_deg,
                sigma_m=None,
                t_write_mono_ns=START_NS + epoch.t_ns,
                bytes_written=400,
                bytes_lost=0,
            )
        )

    def _judge(self, person: PersonTable, t_s: float, lat: float, lon: float) -> None:
        margin_m = self.policy.exit_margin_m
        for zone in self.scenario.zones_geojson()["features"] if person.role == "wearer" else []:
            d = signed_distance_m(zone, lat, lon)
            before = self._in.get(zone["id"])
            inside = d <= 0 or (d <= margin_m and bool(before))
            self._in[zone["id"]] = inside
            exclusion = zone["properties"]["purpose"] == "exclusion"
            if inside != before and (before is not None or inside == exclusion):
                kind = AlertKind.EXCLUSION_ZONE_ENTERED if exclusion else AlertKind.INCLUSION_ZONE_LEFT
                self.tell(t_s, kind, person.device, on=inside == exclusion, zone_id=zone["id"])
        self._newest[person.device] = (t_s, lat, lon)
        if {"tag-1", "pp-1"} <= self._newest.keys():
            self._judge_pair(person, t_s)

    def _judge_pair(self, mover: PersonTable, t_s: float) -> None:
        (his_s, *his), (hers_s, *hers) = self._newest["tag-1"], self._newest["pp-1"]
        if t_s - min(his_s, hers_s) > self.policy.max_position_age_s:
            return
        d, ring, margin_m = separation_m(*his, *hers), self.scenario.order[0].protected[0], self.policy.exit_margin_m
        radii = (ring.pre_alert_m, ring.alarm_m, ring.contact_m)
        nearest, furthest = sum(d <= r for r in radii), sum(d <= r + margin_m for r in radii)
        level = min(max(self._level, nearest), furthest)
        if level == self._level:
            return
        self._level = level
        band = next(band for band, number in LEVEL.items() if number == level)
        for subject, about in (("tag-1", "pp-1"), ("pp-1", "tag-1")):
            self.tell(
                t_s, AlertKind.PROXIMITY_BREACH, subject, on=level > 0, band=band, about=about, cause=mover.device
            )
        person = self.scenario.find_person("pp-1")
        if person is not None and person.smart_tag is not None and person.smart_tag.present:
            self.feel(t_s + 0.3, level, "nearby" if level else None)

    def feel(self, t_s: float, level: int, text: str | None, *, tag: str = "st-1") -> None:
        """Let her tag do something, and tell it."""
        self.record.felt.append(Felt(t_s=t_s, tag=tag, level=level, mode="warning" if level else "idle", text=text))
        names = {0: "stand_down", 1: "notice", 2: "alarm", 3: "contact"}
        self.record.steps.append(
            StepSeen(
                t_s=t_s,
                step=WarningStep.STARTED if level else WarningStep.STOOD_DOWN,
                smart_tag=tag,
                level=names[level],
                text=text,
                latency_ms=None,
            )
        )


def _sent(scenario: Scenario, seed: int) -> Iterator[tuple[PersonTable, Outgoing]]:
    """All that the tags send, in the order of time."""
    tags = []
    for number, person in enumerate(scenario.person):
        config = TagConfig(
            seed=seed * 1000 + number,
            interval_s=person.interval_s,
            profile=person.profile,
            battery_pct=person.battery_pct,
            start_utc_ns=SEEDED_START_UTC_NS,
        )
        tags.append(AnkleTagFirmware(config, scenario.track(person), scenario.actions(person)))
    queue = [(tag.next_due_ns(), number) for number, tag in enumerate(tags)]
    heapq.heapify(queue)
    while queue and queue[0][0] <= scenario.duration_s * NS_PER_S:
        due_ns, number = heapq.heappop(queue)
        for out in tags[number].run(due_ns):
            yield scenario.person[number], out
        heapq.heappush(queue, (tags[number].next_due_ns(), number))


def played(scenario: Scenario, seed: int, rules: JudgePolicy | None = None) -> Scene:
    """Play a scenario with a plain judge."""
    scene = Scene(scenario=scenario, policy=policy(scenario) if rules is None else rules)
    scene.run(seed)
    scene.record.alerts.sort(key=lambda seen: (seen.alert.t_s, seen.index))
    scene.record.alerts = [_numbered(seen, i) for i, seen in enumerate(scene.record.alerts)]
    return scene


def _numbered(seen: AlertSeen, index: int) -> AlertSeen:
    return replace(seen, index=index, alert=replace(seen.alert, index=index))


def shifted(seen: AlertSeen, by_s: float) -> AlertSeen:
    """The same alert, so much later."""
    by_ns = round(by_s * NS_PER_S)
    return replace(seen, t_sub_mono_ns=seen.t_sub_mono_ns + by_ns, alert=replace(seen.alert, t_s=seen.alert.t_s + by_s))


def with_alerts(scene: Scene, alerts: list[AlertSeen]) -> RunRecord:
    """The record of a run in which other alerts arrived."""
    ordered = sorted(alerts, key=lambda seen: seen.alert.t_s)
    return replace(scene.record, alerts=[_numbered(seen, i) for i, seen in enumerate(ordered)])
