"""What a run left, as the judges and the reports take it."""

from dataclasses import dataclass, field

from protocols.mqtt.messages import MsgType, Trace, WarningStep
from rig.demo.latency import HopTimes, TruthTail
from rig.truth.verdict import ReceivedAlert


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSeen:
    """One alert message as the subscriber got it.

    ``event_id`` is the same in all copies of a message; ``level`` what the alert says beyond its kind; ``sequence`` its
    number among the alerts of ``source`` and ``epoch``, None where none is known.
    """

    index: int
    topic: str
    alert: ReceivedAlert
    msg_type: MsgType
    reason: str
    zone_name: str | None
    distance_m: float | None
    lat_deg: float | None
    lon_deg: float | None
    accuracy_m: float | None
    trace: Trace
    t_sub_mono_ns: int
    late: bool
    severity: str
    event_id: str = ""
    level: str | None = None
    source: str = ""
    epoch: str = ""
    sequence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FixSeen:
    """One published position; ``t_s`` is the fix's own time in tag seconds."""

    device: str
    t_s: float
    lat_deg: float
    lon_deg: float
    accuracy_m: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSeen:
    """One step of a warning as the subscriber got it; ``latency_ms`` from the fix's first byte to the tag's write."""

    t_s: float
    step: WarningStep
    smart_tag: str
    level: str | None
    text: str | None
    latency_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """What a smart tag did, by its own log; ``text`` says what began to be felt, None where nothing did."""

    t_s: float
    tag: str
    level: int
    mode: str
    text: str | None


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """Everything that a run left."""

    start_mono_ns: int
    start_utc_ns: int = 0
    alerts: list[AlertSeen] = field(default_factory=list)
    times: list[HopTimes] = field(default_factory=list)
    fixes: list[FixSeen] = field(default_factory=list)
    truth: dict[str, TruthTail] = field(default_factory=dict)
    steps: list[StepSeen] = field(default_factory=list)
    felt: list[Felt] = field(default_factory=list)
    messages: int = 0
