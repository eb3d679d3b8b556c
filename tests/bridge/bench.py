"""A pipeline on a clock that tests move, fed with reports, read as decoded messages."""

import json
from collections.abc import Mapping
from pathlib import Path

from bridge.config.load import load_config
from bridge.identity import Identity
from bridge.journal import Journal, start_line
from bridge.journaled import make_composer, make_pipeline
from bridge.orders.batch import restore_orders
from bridge.outbox.port import Recovered
from bridge.plan import make_plan
from bridge.publisher import Message, Saved
from bridge.silence import DeadlineWheel
from bridge.warning.records import Ask
from devices.events import DeviceEvent, LinkEvent, LinkState, PresenceEvent, Stamps
from protocols.mqtt.messages import CountedEvent
from protocols.rejects import Reject
from protocols.reports import Closure, DateRule, Fix, FixState, Jamming, Report, TagStatus
from tests.devices.manual_clock import ManualClock

S = 1_000_000_000
T0_UTC_NS = 1_780_000_000 * S
"""UTC of the first fix, as the receivers tell it."""

LAT, LON = 51.0, -6.5
"""Middle of the zones: open water."""

METRE_DEG = 1 / 111_200
"""About one metre of latitude; the tests' distances need no better."""

ZONES = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": "z-ex",
            "properties": {"purpose": "exclusion", "name": "School", "radius_m": 100},
            "geometry": {"type": "Point", "coordinates": [LON, LAT]},
        },
        {
            "type": "Feature",
            "id": "z-in",
            "properties": {"purpose": "inclusion", "radius_m": 1000},
            "geometry": {"type": "Point", "coordinates": [LON, LAT]},
        },
    ],
}

CONFIG = """
[bridge]
agency = "t"
[zones]
file = "zones.geojson"
[[device]]
id = "tag"
transport = "memory:tag"
interval_s = 1
silence_buffer_s = 10
[[device]]
id = "her"
role = "protected"
transport = "memory:her"
interval_s = 1
silence_buffer_s = 10
[[order]]
id = "o"
wearer = "tag"
{zones}
  [[order.protected]]
  device = "her"
  contact_m = 50
  alarm_m = 500
  pre_alert_m = 1000
"""


class Bench:
    journal_file: Path | None = None
    """Set by tests that replay what a bench did."""

    def __init__(
        self,
        folder: Path,
        *,
        zones: str = "",
        extra: str = "",
        epoch: str = "EPOCH",
        config: str = CONFIG,
        after: "Bench | None" = None,
        down_s: float = 0,
        crash_after: int | None = None,
    ) -> None:
        """``after``: a bench whose process ended ``down_s`` ago, with what its first messages had kept on disk."""
        self.kept: dict[tuple[str, str], bytes] = {}
        self.sequences: dict[str, int] = {}
        (folder / "zones.geojson").write_text(json.dumps(ZONES))
        (folder / "bridge.toml").write_text(config.replace("{zones}", zones) + extra)
        self.clock = ManualClock(utc_ns=T0_UTC_NS)
        if after is not None:
            # Another boot: the monotonic clock begins anew.
            self.clock = ManualClock(utc_ns=after.clock.utc_ns() + int(down_s * S))
            self.kept, self.sequences = after.on_disk(crash_after)
        self.wheel = DeadlineWheel()
        self.messages: list[Message] = []
        self.seen: list[CountedEvent] = []
        self.asked: list[Ask] = []
        identity = Identity(
            root="em/v1/t",
            agency="t",
            bridge_id="b",
            epoch=epoch,
            boot_id="boot",
            version="0",
            status="Test",
            event_type_prefix="org.example.em",
        )
        saved = tuple(Saved(owner=o, key=k, value=v) for (o, k), v in self.kept.items())
        loaded = load_config(folder / "bridge.toml")
        plan = make_plan(loaded)
        kinds: dict[str, str] = {device.id: device.kind for device in plan.devices}
        self.journal = Journal(self.journal_file, self.clock) if self.journal_file is not None else None
        if self.journal is not None:
            recovered = Recovered(sequences=self.sequences, kept=saved, waiting_alerts=0, waiting_positions=0)
            now = {"now_mono_ns": self.clock.mono_ns(), "now_utc_ns": self.clock.utc_ns()}
            self.journal.start(start_line(loaded, identity, kinds, recovered, **now))
        self.composer = make_composer(self.journal, identity, kinds if self.journal else {}, self.sequences)
        self.orders, self.unusable = restore_orders(plan, saved, self.clock.utc_ns())
        self.pipeline = make_pipeline(
            self.journal,
            plan=self.orders.plan,
            composer=self.composer,
            clock=self.clock,
            wheel=self.wheel,
            publish=self.messages.append,
            on_alert=self.seen.append,
            ask=self.asked.append,
        )
        if after is not None:
            self.pipeline.restore(saved)
        self.pipeline.start(self.clock.mono_ns(), self.clock.utc_ns())

    def on_disk(self, messages: int | None = None) -> tuple[dict[tuple[str, str], bytes], dict[str, int]]:
        """What the first messages kept, with what was there before."""
        kept, sequences = dict(self.kept), dict(self.sequences)
        for message in self.messages[:messages]:
            sequences[message.source] = message.sequence
            for saved in message.saves:
                if saved.value is None:
                    kept.pop((saved.owner, saved.key), None)
                else:
                    kept[saved.owner, saved.key] = saved.value
        return kept, sequences

    # Input

    def event(self, device: str, report: Report | Reject | LinkEvent | PresenceEvent) -> DeviceEvent:
        now = self.clock.mono_ns()
        stamps = Stamps(t_rx_mono_ns=now, t_rx_utc_ns=self.clock.utc_ns(), t_decoded_mono_ns=now)
        return DeviceEvent(device_id=device, report=report, stamps=stamps)

    def feed(self, device: str, *reports: Report | Reject | LinkEvent | PresenceEvent) -> None:
        """All of them arrive in one turn of the loop."""
        self.pipeline.process([self.event(device, report) for report in reports])

    def fix(self, device: str, north_m: float, *, t_s: float | None = None, stored: bool = False) -> None:
        """A fix so many metres north of the middle; its time is now unless given."""
        self.feed(device, self.make_fix(north_m, t_s=t_s, stored=stored))

    def make_fix(self, north_m: float, *, t_s: float | None = None, stored: bool = False) -> Fix:
        t_ns = self.clock.utc_ns() if t_s is None else T0_UTC_NS + int(t_s * S)
        return Fix(
            offset=0,
            state=FixState.POSITION,
            talker="GP",
            t_fix_utc_ns=t_ns,
            date_rule=DateRule.SENT,
            lat_deg=LAT + north_m * METRE_DEG,
            lon_deg=LON,
            horizontal_sigma_m=3.0,
            sigma_rule="gst",
            stored=stored,
        )

    def status(self, device: str = "tag", *, t_s: float | None = None, stored: bool = False, **changed: object) -> None:
        self.feed(device, self.make_status(t_s=t_s, stored=stored, **changed))

    def make_status(self, *, t_s: float | None = None, stored: bool = False, **changed: object) -> TagStatus:
        fields: dict[str, object] = {
            "strap": Closure.CLOSED,
            "case": Closure.CLOSED,
            "shielded": False,
            "jamming": Jamming.NONE,
            "battery_pct": 80,
            "charging": False,
        }
        return TagStatus(
            offset=0,
            sequence=1,
            stored=stored,
            battery_mv=3900,
            motion=False,
            temperature_c=20.0,
            firmware="1.0",
            t_status_utc_ns=self.clock.utc_ns() if t_s is None else T0_UTC_NS + int(t_s * S),
            **{**fields, **changed},  # type: ignore[arg-type]
        )

    def link(self, device: str, state: LinkState, detail: str = "") -> None:
        self.feed(device, LinkEvent(state=state, detail=detail))

    def wait(self, seconds: float) -> None:
        """Let time pass, deadline by deadline."""
        until = self.clock.mono_ns() + int(seconds * S)
        while (due := self.wheel.find_next_mono_ns()) is not None and due <= until:
            self.clock._mono_ns = max(due, self.clock._mono_ns)
            passed = self.wheel.take_due(self.clock._mono_ns)
            if passed:
                self.pipeline.on_due(passed, self.clock._mono_ns)
        self.clock._mono_ns = until

    # Output

    def on(self, topic: str) -> list[Mapping]:  # type: ignore[type-arg]
        return [json.loads(m.body) for m in self.messages if m.topic == f"em/v1/t/{topic}"]

    def alerts(self, side: str = "tag/tag") -> list[Mapping]:  # type: ignore[type-arg]
        return self.on(f"{side}/alert")

    def told(self, side: str = "tag/tag") -> list[tuple[str, str]]:
        """Message type and kind of each alert, without the silence that tests of other things bring about."""
        return [(a["data"]["msg_type"], a["data"]["kind"]) for a in self.alerts(side)]

    def of_kind(self, kind: str, side: str = "tag/tag") -> list[Mapping]:  # type: ignore[type-arg]
        return [a["data"] for a in self.alerts(side) if a["data"]["kind"] == kind]

    def active(self, side: str = "tag/tag") -> list[str]:
        """Kinds in the newest snapshot."""
        return [each["kind"] for each in self.on(f"{side}/active")[-1]["data"]["alerts"]]

    def last_status(self, side: str = "tag/tag") -> Mapping:  # type: ignore[type-arg]
        return self.on(f"{side}/status")[-1]["data"]  # type: ignore[no-any-return]

    def alert_bodies(self) -> list[bytes]:
        return [m.body for m in self.messages if m.topic.endswith("/alert")]
