"""What is known of each device now; owned by the pipeline."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bridge.config.schema import DeviceSection
from bridge.ordering import FixOrder, LateRun
from devices.events import LinkState
from protocols.mqtt.messages import ProximityDetail, StandingWarning, WearerPair
from protocols.mqtt.topics import Side
from protocols.mqtt.words import SmartTagState
from protocols.reports import Fix, FixState, TagStatus

if TYPE_CHECKING:
    from bridge.judge import FixRow

Presence = Literal["up", "lost", "unknown"]
Location = Literal["valid", "lost", "unknown"]


@dataclass(slots=True)
class DeviceView:
    """One device: what it said last, whether it is heard, and what was published about it."""

    device: DeviceSection
    device_idx: int
    order: FixOrder = field(default_factory=FixOrder)
    late_run: LateRun = field(default_factory=LateRun)
    fix: Fix | None = None
    """Newest live position."""
    newest: "FixRow | None" = None
    """The same, as it was judged."""
    position_utc_ns: int | None = None
    """Host's UTC when it last told a position that was not from its memory."""
    fix_state: FixState | None = None
    status: TagStatus | None = None
    status_utc_ns: int | None = None
    battery_pct: int | None = None
    """As a smart tag told it; an ankle tag's stands in ``status``."""
    firmware: str | None = None
    motion: bool | None = None
    judged_equipment: tuple[object, ...] | None = None
    """What the last live status said of the equipment; the same words again cannot change an alert."""
    comms: Presence = "unknown"
    location: Location = "unknown"
    link: LinkState | None = None
    link_detail: str = ""
    heard_utc_ns: int | None = None
    has_ended: bool = False
    wearer_pairs: dict[str, WearerPair] = field(default_factory=dict)
    protected_pairs: dict[str, ProximityDetail] = field(default_factory=dict)
    smart_tag: SmartTagState | None = None
    """Of a protected person: whether somebody could warn her."""
    smart_tag_id: str | None = None
    sos: bool | None = None
    standing: StandingWarning | None = None
    kept_until_utc_ns: int | None = None
    """How far the receiver's time had come when that was last kept."""
    published: tuple[object, ...] | None = None
    """Fields of the last status message that matter; the rest goes out with them or after ``status_interval_s``."""
    status_due_mono_ns: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def id(self) -> str:
        """The device's id."""
        return self.device.id

    @property
    def side(self) -> Side:
        """Whose streams its messages stand in."""
        return Side.PROTECTED if self.device.role == "protected" else Side.TAG

    @property
    def is_smart_tag(self) -> bool:
        """Whether it is heard by radio: its driver says whether it is there, not the time between reports."""
        return self.device.kind == "smart_tag"

    @property
    def charge_pct(self) -> int | None:
        """Battery, by whichever report tells it."""
        return self.status.battery_pct if self.status is not None else self.battery_pct

    @property
    def limit_ns(self) -> int:
        """Silence beyond this is an alert."""
        return int((self.device.interval_s + self.device.silence_buffer_s) * 1e9)
