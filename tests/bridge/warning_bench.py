"""The pipeline with a protected person's smart tag: what is asked of it, what it answers, what is published."""

from collections.abc import Mapping
from pathlib import Path

from bridge.warning.records import Arrived, Ask, GivenUp
from devices.errors import WarnLoss
from devices.events import LinkState, PresenceEvent
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.reports import BeaconSighting, BeaconVerdict, TagEvent, TagEventKind, TagMode, TagState
from tests.bridge.bench import Bench

MS = 1_000_000

CONFIG = """
[bridge]
agency = "t"
[zones]
file = "zones.geojson"
[policy]
exit_margin_m = 10
[warning]
confirm_limit_s = 5
acknowledge_limit_s = 60
repeat_s = 30
max_repeats = 3
retry_s = 5
start_grace_s = 120
cover_settle_s = 30
beacon_hold_s = 60
forged_hold_s = 600
[[device]]
id = "tag"
transport = "memory:tag"
interval_s = 1
silence_buffer_s = 500
[[device]]
id = "her"
kind = "smart_tag"
role = "protected"
transport = "ble:C0:DE:00:00:00:01"
interval_s = 1
silence_buffer_s = 500
[[order]]
id = "o"
wearer = "tag"
zones = []
  [[order.protected]]
  device = "her"
  contact_m = 50
  alarm_m = 500
  pre_alert_m = 1000
"""

SECOND_WEARER = """
[[device]]
id = "tag-2"
transport = "memory:tag2"
silence_buffer_s = 500
[[order]]
id = "o2"
wearer = "tag-2"
zones = []
  [[order.protected]]
  device = "her"
  contact_m = 50
  alarm_m = 500
  pre_alert_m = 1000
"""


class WarningBench(Bench):
    def __init__(
        self,
        folder: Path,
        *,
        config: str = CONFIG,
        extra: str = "",
        epoch: str = "EPOCH",
        after: Bench | None = None,
        down_s: float = 0,
    ) -> None:
        super().__init__(folder, config=config, extra=extra, epoch=epoch, after=after, down_s=down_s)
        self._sequence = 0

    # What happens

    def near(self, *distances_m: float, wearer: str = "tag") -> None:
        """She stays, he comes to so many metres, a second apart."""
        for distance_m in distances_m:
            self.wait(1)
            self.fix("her", 0)
            self.fix(wearer, distance_m)

    def stay(self, seconds: int, distance_m: float) -> None:
        for _ in range(seconds):
            self.near(distance_m)

    def arrive(self, ask: Ask | None = None, *, started: bool = True) -> None:
        """The driver's receipt: written 8 ms after it was asked, shown 12 ms later."""
        ask = ask or self.asked[-1]
        now = self.clock.mono_ns()
        self.clock._mono_ns += 20 * MS
        self.pipeline.on_delivered(
            Arrived(
                person=ask.person,
                asked_warn_id=ask.command.warn_id,
                warn_id=ask.command.warn_id,
                t_written_mono_ns=now + 8 * MS,
                t_started_mono_ns=now + 20 * MS if started else None,
                confirmed=started,
            ),
            self.clock.mono_ns(),
        )

    def give_up(self, loss: WarnLoss, ask: Ask | None = None) -> None:
        ask = ask or self.asked[-1]
        gone = GivenUp(person=ask.person, warn_id=ask.command.warn_id, loss=loss, detail="it is gone")
        self.pipeline.on_delivered(gone, self.clock.mono_ns())

    def tag_event(self, kind: TagEventKind, warn_id: int | None = None, *, age_s: float = 0, tag: str = "her") -> None:
        self._sequence += 1
        self.feed(tag, TagEvent(sequence=self._sequence, kind=kind, warn_id=warn_id, age_ms=int(age_s * 1000)))

    def acknowledge(self) -> None:
        self.tag_event(TagEventKind.WARN_ACKED, self.asked[-1].command.warn_id)

    def tag_state(self, mode: TagMode = TagMode.IDLE, *, tag: str = "her", **changed: object) -> None:
        fields: dict[str, object] = {
            "warn_id": None,
            "sos": False,
            "motion": False,
            "battery_pct": 80,
            "gnss": True,
            "own_warning": False,
        }
        self._sequence += 1
        self.feed(tag, TagState(state=mode, sequence=self._sequence, **{**fields, **changed}))  # type: ignore[arg-type]

    def sighting(
        self, verdict: BeaconVerdict = BeaconVerdict.GENUINE, *, rssi_dbm: int = -60, age_s: float = 0, tag: str = "her"
    ) -> None:
        heard = BeaconSighting(
            rolling_id=b"12345678", rssi_dbm=rssi_dbm, count=3, counter=7, age_ms=int(age_s * 1000), verdict=verdict
        )
        self.feed(tag, heard)

    def presence(self, present: bool, *, tag: str = "her") -> None:
        self.feed(
            tag, PresenceEvent(present=present, last_heard_mono_ns=None, rssi_dbm=-70, detail="not heard for 10 s")
        )

    def link_up(self, tag: str = "her") -> None:
        self.link(tag, LinkState.UP, "smart tag")

    # What comes of it

    @property
    def commands(self) -> list[tuple[WarnLevel, WarnText]]:
        return [(ask.command.level, ask.command.text) for ask in self.asked]

    def steps(self, person: str = "her") -> list[str]:
        return [each["data"]["step"] for each in self.on(f"protected/{person}/warning")]

    def warnings(self, person: str = "her") -> list[Mapping]:  # type: ignore[type-arg]
        return [each["data"] for each in self.on(f"protected/{person}/warning")]

    def life_of(self, kind: str, person: str = "her") -> list[tuple[str, str | None, str]]:
        """Message type, level and severity of each message of a kind on her side."""
        told = self.of_kind(kind, f"protected/{person}")
        return [(data["msg_type"], data["level"], data["severity"]) for data in told]
