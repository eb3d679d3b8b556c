"""What each command does. Refusals and results come back as values; nothing here knows how they are told."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from bridge.outbox.port import Replayed
from bridge.pipeline import Pipeline
from bridge.publisher import Saved
from bridge.view import DeviceView
from devices.clock import Clock
from devices.errors import CommandTimeoutError
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.errors import EncodeError
from protocols.mqtt.commands import (
    AcknowledgeAlert,
    IncidentCap,
    LocateNow,
    Replay,
    SetInterval,
    StandDown,
    Vibrate,
    Warn,
)
from protocols.mqtt.messages import CapResult, CountResult, DeviceResult, ReplayResult, ReplyResult, WarnResult
from protocols.mqtt.refusal import Refusal, RefusalReason
from protocols.reports import CommandAck, CommandOutcome, CommandVerb

MAX_CAP_CHARS = 12_000
"""Longest CAP document in an answer, whose body has 16 KiB: in JSON its quotes and line ends take two bytes each."""

SNAPSHOTS_AT_ONCE = 50
"""Snapshots composed in one turn of the loop, 2 ms. All of ten thousand devices take half a second, and a warning to a
protected person would wait for them."""

_LEVELS = {"notice": WarnLevel.NOTICE, "alarm": WarnLevel.ALARM, "contact": WarnLevel.CONTACT}
_TEXTS = {
    "none": WarnText.NONE,
    "nearby": WarnText.NEARBY,
    "cover_lost": WarnText.COVER_LOST,
    "test": WarnText.TEST,
}

TagCommand = LocateNow | SetInterval | Vibrate


class TagLink(Protocol):
    """A driver that takes commands for its tag."""

    async def command(self, verb: CommandVerb, argument: str = "") -> CommandAck:
        """Send a command and wait for the tag's answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """A command was carried out; ``saves`` is to be kept of it."""

    result: ReplyResult | None
    saves: tuple[Saved, ...] = ()


class Actions:
    """Carries commands out, in the loop.

    Parameters
    ----------
    pipeline : Pipeline
    clock : Clock
    tags : mapping of str to TagLink
        Drivers of ankle tags by the id of their device.
    replay : callable
        `MqttPublisher.replay`.
    find_cap : callable
        Renders an incident as CAP 1.2; None: there is no such incident.
    """

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        clock: Clock,
        tags: Mapping[str, TagLink],
        replay: Callable[[str, int, int], "Future[Replayed]"],
        find_cap: Callable[[str], str | None],
    ) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self._tags = tags
        self._replay = replay
        self._find_cap = find_cap
        self._views = {view.id: view for view in pipeline.views}
        self._resending = asyncio.Lock()

    def knows(self, device_id: str) -> bool:
        """Whether a device is this bridge's."""
        return device_id in self._views

    def find_tag_refusal(self, device_id: str) -> Refusal | None:
        """Say why nothing can be asked of a wearer's tag."""
        view = self._views.get(device_id)
        if view is None:
            return _unknown_device(device_id)
        if view.device.role != "wearer":
            return Refusal(reason=RefusalReason.WRONG_ROLE, detail=f"{device_id!r} is not a wearer's device")
        if view.device.kind != "ankle_tag" or device_id not in self._tags:
            detail = f"{device_id!r} has kind {view.device.kind!r}, which takes no commands"
            return Refusal(reason=RefusalReason.NOT_SUPPORTED, detail=detail)
        return None

    async def ask_tag(self, command: TagCommand) -> Acted | Refusal:
        """Have a wearer's tag do something, and wait for its answer."""
        verb, argument = CommandVerb.LOCATE_NOW, ""
        match command:
            case LocateNow():
                pass
            case SetInterval():
                verb, argument = CommandVerb.REPORT_INTERVAL, f"{command.interval_s:g}"
            case Vibrate():
                verb, argument = CommandVerb.VIBRATE, f"{command.seconds:g}"
        try:
            ack = await self._tags[command.tag].command(verb, argument)
        except CommandTimeoutError as exc:
            return Refusal(reason=RefusalReason.NOT_REACHED, detail=str(exc))
        except EncodeError as exc:
            return Refusal(reason=RefusalReason.BUSY, detail=str(exc))
        if ack.outcome is not CommandOutcome.DONE:
            detail = f"the tag answered {ack.outcome}{f': {ack.value}' if ack.value else ''}"
            return Refusal(reason=RefusalReason.NOT_SUPPORTED, detail=detail)
        saves: tuple[Saved, ...] = ()
        if isinstance(command, SetInterval):
            view = self._views[command.tag]
            saves = (self._pipeline.set_interval(view, command.interval_s, self._clock.mono_ns()),)
        return Acted(result=DeviceResult(device=command.tag, answer=ack.value or ack.outcome.value), saves=saves)

    def warn(self, command: Warn | StandDown) -> Acted | Refusal:
        """Warn a protected person, or take a warning back. What becomes of it is told on her stream ``warning``."""
        view = self._views.get(command.person)
        if view is None:
            return _unknown_device(command.person)
        if view.device.role != "protected":
            detail = f"{command.person!r} is not a protected person's device"
            return Refusal(reason=RefusalReason.WRONG_ROLE, detail=detail)
        if isinstance(command, Warn):
            level, text = _LEVELS[command.level], _TEXTS[command.text]
            person = self._pipeline.take_provider(command.person, level, text, self._clock.mono_ns())
        else:
            person = self._pipeline.take_provider(command.person, None, WarnText.NONE, self._clock.mono_ns())
        if person is None:
            detail = f"no smart tag was issued to {command.person!r}: nobody can warn her"
            return Refusal(reason=RefusalReason.NOT_SUPPORTED, detail=detail)
        return Acted(result=WarnResult(person=command.person, warn_id=person.delivery.warn_id))

    def acknowledge(self, command: AcknowledgeAlert) -> Acted | Refusal:
        """Note that a person has seen an alert."""
        incident_id = self._pipeline.acknowledge(command.event_id, command.by, self._clock.utc_ns())
        if incident_id is None:
            detail = f"no open incident holds the alert {command.event_id!r}"
            return Refusal(reason=RefusalReason.UNKNOWN_ALERT, detail=detail)
        return Acted(result=CountResult(what="incidents", count=1))

    async def replay(self, command: Replay) -> Acted | Refusal:
        """Send events again, with the ids they had."""
        if command.first > command.last:
            detail = f"first {command.first} is after last {command.last}"
            return Refusal(reason=RefusalReason.INVALID_FIELD, detail=detail)
        found = await asyncio.wrap_future(self._replay(command.source, command.first, command.last))
        if not found.queued and not found.waiting:
            detail = f"nothing of {command.source!r} from {command.first} to {command.last} is kept"
            return Refusal(reason=RefusalReason.OUT_OF_RANGE, detail=detail)
        last = command.last if found.next_sequence is None else found.next_sequence - 1
        result = ReplayResult(
            source=command.source,
            first=command.first,
            last=last,
            events=found.queued,
            waiting=found.waiting,
            missing=found.missing,
        )
        return Acted(result=result)

    async def resend_active(self) -> Acted:
        """Publish the snapshots of all devices again, a few in each turn of the loop."""
        views = self._pipeline.views
        async with self._resending:
            for first in range(0, len(views), SNAPSHOTS_AT_ONCE):
                self._pipeline.resend_active(views[first : first + SNAPSHOTS_AT_ONCE], self._clock.mono_ns())
                await asyncio.sleep(0)
        return Acted(result=CountResult(what="snapshots", count=len(views)))

    def render_cap(self, command: IncidentCap) -> Acted | Refusal:
        """Render an incident."""
        cap_xml = self._find_cap(command.incident_id)
        if cap_xml is None:
            detail = f"{command.incident_id!r} is not open, nor among those that were closed last"
            return Refusal(reason=RefusalReason.UNKNOWN_INCIDENT, detail=detail)
        if len(cap_xml) > MAX_CAP_CHARS:
            return Refusal(reason=RefusalReason.TOO_LARGE, detail=f"{len(cap_xml)} characters; at most {MAX_CAP_CHARS}")
        return Acted(result=CapResult(incident_id=command.incident_id, cap_xml=cap_xml))

    @property
    def views(self) -> Mapping[str, DeviceView]:
        """Devices by id."""
        return self._views


def _unknown_device(device_id: str) -> Refusal:
    return Refusal(reason=RefusalReason.UNKNOWN_DEVICE, detail=f"this bridge has no device {device_id!r}")
