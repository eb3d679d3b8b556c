"""What each turn of a journal was given, and how it is done again."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.compose import Composer
from bridge.orders.book import read_orders
from bridge.orders.handover import hand_over
from bridge.orders.planner import plan_with
from bridge.pipeline import Pipeline
from bridge.plan import Plan
from bridge.publisher import Message, Saved
from bridge.sampling import Steer
from bridge.silence import Deadline, DeadlineWheel
from bridge.warning.records import Arrived, Delivered, GivenUp
from devices.events import DeviceEvent, LinkEvent, PresenceEvent, Stamps
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt import messages as m
from protocols.mqtt.commands import Order
from protocols.mqtt.refusal import Refusal
from protocols.rejects import Reject
from protocols.reports import (
    BatteryLevel,
    BeaconSighting,
    CommandAck,
    DeviceInformation,
    Fix,
    TagEvent,
    TagState,
    TagStatus,
)
from rig.replay.errors import ReplayError
from rig.replay.journal_file import Turn

REPORTS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        BatteryLevel,
        BeaconSighting,
        CommandAck,
        DeviceInformation,
        Fix,
        LinkEvent,
        PresenceEvent,
        Reject,
        TagEvent,
        TagState,
        TagStatus,
    )
}
"""Everything that a device event may report, by the name in the journal."""

_DELIVERED: Mapping[str, type[Arrived] | type[GivenUp]] = {"Arrived": Arrived, "GivenUp": GivenUp}


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class _Event(_Given, frozen=True):
    device: str
    kind: str
    report: msgspec.Raw
    stamps: Stamps


class _Process(_Given, frozen=True):
    events: tuple[_Event, ...]


class _Start(_Given, frozen=True):
    now_mono_ns: int
    now_utc_ns: int


class _Acknowledge(_Given, frozen=True):
    event_id: str
    by: str
    at_utc_ns: int


class _OnDue(_Given, frozen=True):
    passed: tuple[Deadline, ...]
    now_mono_ns: int


class _OnDelivered(_Given, frozen=True):
    kind: str
    delivered: msgspec.Raw
    now_mono_ns: int


class _Replan(_Given, frozen=True):
    orders: tuple[Order, ...]
    now_mono_ns: int


class _TakeProvider(_Given, frozen=True):
    person: str
    level: WarnLevel | None
    text: WarnText
    now_mono_ns: int


class _SetInterval(_Given, frozen=True):
    device: str
    interval_s: float
    now_mono_ns: int


class _OnSteered(_Given, frozen=True):
    steer: Steer
    followed: bool
    now_mono_ns: int


class _ResendActive(_Given, frozen=True):
    devices: tuple[str, ...]
    now_mono_ns: int


class _Finish(_Given, frozen=True):
    now_mono_ns: int


class _Reply(_Given, frozen=True):
    data: m.ReplyData
    t_utc_ns: int


class _Heartbeat(_Given, frozen=True):
    data: m.HeartbeatData
    t_utc_ns: int


@dataclass(slots=True, kw_only=True)
class Judge:
    """The parts of a bridge that turns are done on.

    ``publish`` takes what only the composer makes; ``differing`` is told of what is not as it was.
    """

    base: Plan
    plan: Plan
    composer: Composer
    pipeline: Pipeline
    wheel: DeadlineWheel
    kept: tuple[Saved, ...]
    publish: Callable[[Message], None]
    differing: Callable[[str], None]


def events_of(turn: Turn) -> tuple[DeviceEvent, ...]:
    """Read what devices said in a turn ``process``; none in others."""
    if turn.do != "process":
        return ()
    return tuple(_event(each) for each in msgspec.json.decode(turn.given, type=_Process).events)


def _event(given: _Event) -> DeviceEvent:
    kind = REPORTS.get(given.kind)
    if kind is None:
        raise ReplayError(f"the journal holds a report of kind {given.kind!r}, which this tagrig does not know")
    report: Any = msgspec.json.decode(given.report, type=kind)  # Any: one of the reports above
    return DeviceEvent(device_id=given.device, report=report, stamps=given.stamps)


class _When(msgspec.Struct, frozen=True):
    now_mono_ns: int | None = None
    now_utc_ns: int | None = None
    t_utc_ns: int | None = None
    at_utc_ns: int | None = None


def moment_of(turn: Turn) -> tuple[int | None, int | None]:
    """When a turn was, on both clocks, as far as what it was given tells it."""
    if turn.do == "process":
        events = msgspec.json.decode(turn.given, type=_Process).events
        stamps = events[-1].stamps if events else None
        return (stamps.t_decoded_mono_ns, stamps.t_rx_utc_ns) if stamps is not None else (None, None)
    when = msgspec.json.decode(turn.given, type=_When)
    utc_ns = next((each for each in (when.now_utc_ns, when.t_utc_ns, when.at_utc_ns) if each is not None), None)
    return when.now_mono_ns, utc_ns


def do_turn(turn: Turn, judge: Judge) -> None:
    """Do a turn again; raises what it raises.

    Raises
    ------
    ReplayError
        The journal holds something that this version does not know.
    """
    do = _TURNS.get(turn.do)
    if do is None:
        raise ReplayError(
            f"the journal's turn {turn.n} is {turn.do!r}, which this tagrig does not know. Next: replay it with the "
            "version that wrote it (run.json names it)"
        )
    try:
        do(turn.given, judge)
    except msgspec.DecodeError as exc:
        raise ReplayError(f"the journal's turn {turn.n} ({turn.do}) was not written by this version: {exc}") from exc


def _restore(_raw: msgspec.Raw, judge: Judge) -> None:
    judge.pipeline.restore(judge.kept)


def _start(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_Start)
    judge.pipeline.start(given.now_mono_ns, given.now_utc_ns)


def _acknowledge(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_Acknowledge)
    judge.pipeline.acknowledge(given.event_id, given.by, given.at_utc_ns)


def _process(raw: msgspec.Raw, judge: Judge) -> None:
    judge.pipeline.process([_event(each) for each in msgspec.json.decode(raw, type=_Process).events])


def _on_due(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_OnDue)
    passed = set(judge.wheel.take_due(given.now_mono_ns))
    if passed != set(given.passed):
        judge.differing(f"deadlines that passed: {_named(given.passed)} then, {_named(passed)} now")
    judge.pipeline.on_due(given.passed, given.now_mono_ns)


def _named(deadlines: Iterable[Deadline]) -> str:
    return ", ".join(f"{each.due.name} of device {each.device_idx}" for each in sorted(deadlines)) or "none"


def _on_delivered(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_OnDelivered)
    delivered: Delivered = msgspec.json.decode(given.delivered, type=_DELIVERED[given.kind])
    judge.pipeline.on_delivered(delivered, given.now_mono_ns)


def _replan(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_Replan)
    loaded = []
    for order in read_orders(given.orders):
        if isinstance(order, Refusal):
            raise ReplayError(f"an order of the journal is refused now: {order.detail}")
        loaded.append(order)
    plan = plan_with(judge.base, loaded, judge.plan)
    handover = hand_over(judge.plan, plan, given.orders)
    judge.plan = plan
    judge.pipeline.replan(handover, given.now_mono_ns)


def _take_provider(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_TakeProvider)
    judge.pipeline.take_provider(given.person, given.level, given.text, given.now_mono_ns)


def _set_interval(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_SetInterval)
    view = next(view for view in judge.pipeline.views if view.id == given.device)
    judge.pipeline.set_interval(view, given.interval_s, given.now_mono_ns)


def _on_steered(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_OnSteered)
    judge.pipeline.on_steered(given.steer, given.followed, given.now_mono_ns)


def _resend_active(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_ResendActive)
    views = {view.id: view for view in judge.pipeline.views}
    judge.pipeline.resend_active([views[device] for device in given.devices], given.now_mono_ns)


def _finish(raw: msgspec.Raw, judge: Judge) -> None:
    judge.pipeline.finish(msgspec.json.decode(raw, type=_Finish).now_mono_ns)


def _reply(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_Reply)
    judge.publish(judge.composer.reply(given.data, given.t_utc_ns))


def _heartbeat(raw: msgspec.Raw, judge: Judge) -> None:
    given = msgspec.json.decode(raw, type=_Heartbeat)
    # Asked of the machine for each heartbeat, and told in alerts until the next.
    judge.composer.clock = given.data.clock
    judge.publish(judge.composer.heartbeat(given.data, given.t_utc_ns))


_TURNS: Mapping[str, Callable[[msgspec.Raw, Judge], None]] = {
    "restore": _restore,
    "start": _start,
    "acknowledge": _acknowledge,
    "process": _process,
    "on_due": _on_due,
    "on_delivered": _on_delivered,
    "replan": _replan,
    "take_provider": _take_provider,
    "set_interval": _set_interval,
    "on_steered": _on_steered,
    "resend_active": _resend_active,
    "finish": _finish,
    "reply": _reply,
    "heartbeat": _heartbeat,
}
