"""Driver of a protected person's smart tag, or of a plain Find Me tag: warnings down, reports up, over Bluetooth.

It waits for the tag's advertisement, connects in its turn, writes what warning stands, reads and follows the tag, and
notices when it goes silent. Whatever breaks (the link, the tag, the adapter, the Bluetooth service) ends in one
``LinkEvent`` that says what, and in the next attempt.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import replace

from devices.backoff import Backoff
from devices.ble_finder import find_tag_advert
from devices.ble_link import Advert, Link
from devices.ble_radio import Radio
from devices.ble_seat import Seat
from devices.ble_slots import Urgency
from devices.ble_target import BleTarget, Pairing
from devices.clock import Clock
from devices.errors import LinkAuthError, LinkLostError, RadioError, WarnLoss, WarnLostError
from devices.events import DeviceEvent, LinkEvent, LinkState, PresenceEvent, Stamps, stamps_now
from devices.health import RadioCounts, SmartTagHealth
from devices.presence import AdvertMark, PresenceWatch
from devices.smart_tag_session import TagSession, TagTiming
from devices.smart_tag_warn import WarnLane, WarnReceipt
from protocols.ble.smart_tag import WarnCommand
from protocols.rejects import Reject
from protocols.reports import BleReport, TagEvent, TagState

__all__ = ["SmartTag", "TagTiming", "WarnLoss", "WarnLostError", "WarnReceipt"]

FIRST_BACKOFF_NS = 200_000_000
"""ns. A tag whose connection broke at the edge of its range advertises again within 0.1 to 1 s; an attempt costs the
adapter a pause of its scan, so knocking faster hears less."""
LAST_BACKOFF_NS = 2_000_000_000
"""ns. An attempt is made only after the tag was heard, so one that keeps failing is worth repeating soon."""

BOND_REFUSALS = 3
"""Connections in a row that a tag may refuse to encrypt before our bond is removed: one such failure is also how a link
looks that broke in the wrong moment."""

_log = logging.getLogger(__name__)


class SmartTag:
    """One tag.

    Parameters
    ----------
    device_id : str
    target : BleTarget
    radio : Radio
        Shared by all tags; entered before ``run`` and left after it.
    clock : Clock
    on_event : callable
        Called in the event loop for each report, reject and change. It must not block.
    rng : random.Random, optional
        Jitter of the backoff.
    beacon_key : bytes, optional
        Key of the wearer's beacon that the tag shall know.
    timing : TagTiming
    """

    def __init__(
        self,
        *,
        device_id: str,
        target: BleTarget,
        radio: Radio,
        clock: Clock,
        on_event: Callable[[DeviceEvent], None],
        rng: random.Random | None = None,
        beacon_key: bytes | None = None,
        timing: TagTiming | None = None,
    ) -> None:
        self.device_id = device_id
        self._target = target
        self._radio = radio
        self._clock = clock
        self._on_event = on_event
        self._beacon_key = beacon_key
        self._timing = timing or TagTiming()
        self._backoff = Backoff(rng or random.Random(), first_ns=FIRST_BACKOFF_NS, cap_ns=LAST_BACKOFF_NS)
        self._lane = WarnLane(device_id, patience_s=self._timing.patience_s, ack_s=self._timing.ack_s)
        self._presence = PresenceWatch(limit_ns=round(self._timing.presence_s * 1e9))
        self._presence_changed = asyncio.Event()
        self._counts = RadioCounts()
        self._seat: Seat | None = None
        self._crash: asyncio.Future[None] | None = None
        self._link: LinkState | None = None
        self._link_detail = ""
        self._down_since_mono_ns: int | None = None
        self._rssi_dbm: int | None = None
        self._has_sos = False
        self._connect_ns: int | None = None
        self._first_warning_ns: int | None = None
        self._first_warning_max_ns: int | None = None
        self._warn_write_max_ns: int | None = None
        self._keys_are_sent = False
        self._may_forget = True
        self._bond_refusals = 0
        self._pair_from_mono_ns = 0

    @property
    def health(self) -> SmartTagHealth:
        """A snapshot of counters and measurements."""
        return SmartTagHealth(
            device_id=self.device_id,
            link=self._link,
            present=self._presence.present,
            radio=replace(self._counts),
            warnings=replace(self._lane.counts),
            last_rx_mono_ns=self._presence.last_heard_mono_ns if self._presence.present is not None else None,
            rssi_dbm=self._rssi_dbm,
            connect_ns=self._connect_ns,
            first_warning_ns=self._first_warning_ns,
            first_warning_max_ns=self._first_warning_max_ns,
            warn_write_max_ns=self._warn_write_max_ns,
        )

    async def run(self) -> None:
        """Follow the tag until cancelled."""
        seat = self._radio.seat(
            self.device_id, self._target, on_advert=self._hear_advert, on_adapter=self._hear_adapter
        )
        self._seat = seat
        self._crash = asyncio.get_running_loop().create_future()
        self._presence.start(self._clock.mono_ns())
        if seat.adapter_detail is not None:
            self._hear_adapter(False, seat.adapter_detail)
        parts = (self._follow(seat), self._watch_presence(), self._watch_warnings())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait({*tasks, self._crash}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._seat = None
            for task in (*tasks, self._crash):
                task.cancel()
            await asyncio.gather(*tasks, self._crash, return_exceptions=True)
            seat.leave()
            self._lane.end()
        for task in done:
            task.result()

    async def warn(self, command: WarnCommand) -> WarnReceipt:
        """Warn the person, or stand down; return once the tag says that it does.

        While the tag is away the warning waits for it, and stays standing after it was reported as lost.

        Raises
        ------
        WarnLostError
            ``reason`` says why; the text says more.
        """
        if self._seat is None:
            text = (
                f"{self.device_id}: warning {command.warn_id} lost: the driver is not running. Next: start run() first"
            )
            raise WarnLostError(text, WarnLoss.NOT_RUNNING)
        answer = self._lane.ask(command, self._clock.mono_ns())
        self._update_urgency()
        if self._link is not LinkState.UP:
            self._backoff.reset()
            self._seat.want(not_before_mono_ns=self._clock.mono_ns())
        try:
            return await answer
        finally:
            self._lane.drop(answer)

    # The connection

    async def _follow(self, seat: Seat) -> None:
        seat.want(not_before_mono_ns=self._clock.mono_ns())
        while True:
            await seat.may_connect.wait()
            started_mono_ns = self._clock.mono_ns()
            link = await self._connect(seat)
            wait_ns = self._backoff.next_ns()
            if link is not None:
                self._connect_ns = self._clock.mono_ns() - started_mono_ns
                detail, was_set_up = await self._use(seat, link)
                self._went_down(detail)
                # After a link that worked, the tag's next advertisement is wait enough.
                wait_ns = 0 if was_set_up else wait_ns
            seat.want(not_before_mono_ns=self._clock.mono_ns() + wait_ns)

    async def _connect(self, seat: Seat) -> Link | None:
        try:
            link = await seat.attempt(within_s=self._timing.connect_s)
        except RadioError as exc:
            self._counts.connect_failures += 1
            detail = str(exc)
            if isinstance(exc, LinkAuthError):
                detail = await self._doubt_bond(seat, detail)
            self._went_down(detail)
            return None
        self._counts.gave_way += link is None
        return link

    async def _doubt_bond(self, seat: Seat, detail: str) -> str:
        """Remove a bond that the tag has refused too often; whether it is made anew, its target says."""
        self._bond_refusals += 1
        if self._bond_refusals < BOND_REFUSALS or not self._may_forget or self._target.pair is Pairing.NONE:
            return detail
        self._bond_refusals = 0
        self._backoff.reset()
        self._may_forget = False
        self._keys_are_sent = False
        self._counts.bonds_lost += 1
        with contextlib.suppress(RadioError):
            await seat.forget(within_s=self._timing.answer_s)
        return f"{detail}; the tag has lost its bond, ours was removed, pairing anew"

    async def _use(self, seat: Seat, link: Link) -> tuple[str, bool]:
        """Work on a connection until it ends; return why it did, and whether all of it had been set up."""
        session = TagSession(
            self.device_id,
            link,
            self._target,
            self._lane,
            self._clock,
            self._timing,
            tag_keys=None if self._keys_are_sent else (self._target.key, self._beacon_key),
            may_forget=self._may_forget,
            pair_from_mono_ns=self._pair_from_mono_ns,
            on_value=self._hear_value,
            on_answer=self._hear_answer,
        )
        self._counts.connected += 1
        self._came_up(session.profile.describe())
        work = asyncio.create_task(session.run(on_detail=self._came_up))
        lost = asyncio.create_task(link.lost.wait())
        gives_way = asyncio.create_task(seat.give_way.wait())
        try:
            await asyncio.wait({work, lost, gives_way}, return_when=asyncio.FIRST_COMPLETED)
            return self._judge_end(seat, session, work, lost.done(), gives_way.done()), session.is_set_up
        finally:
            self._lane.link_is_down()
            for task in (work, lost, gives_way):
                task.cancel()
            await asyncio.gather(work, lost, gives_way, return_exceptions=True)
            await link.disconnect()
            seat.left()
            self._note(session)

    def _judge_end(
        self, seat: Seat, session: TagSession, work: "asyncio.Task[None]", is_lost: bool, gives_way: bool
    ) -> str:
        if gives_way:
            self._counts.gave_way += 1
            return "the adapter's connection goes to a more urgent tag"
        if work.done() and not work.cancelled() and (exc := work.exception()) is not None and not is_lost:
            if not isinstance(exc, RadioError):
                raise exc
            self._counts.unanswered += isinstance(exc, LinkLostError)
            return str(exc)
        if session.ending is not None:
            return session.ending
        self._counts.lost += 1
        seat.suspect()
        return "the connection broke"

    def _note(self, session: TagSession) -> None:
        self._bond_refusals = 0
        self._pair_from_mono_ns = session.pair_from_mono_ns
        if session.is_set_up:
            self._backoff.reset()
        self._keys_are_sent = (session.keys_are_sent or self._keys_are_sent) and not session.bonds_lost
        # Once: a tag that wants more than any bond of ours gives would have it made and removed without end.
        was_forgotten = bool(session.bonds_lost) or session.services_stale
        went_well = session.is_secured or (session.is_set_up and self._target.pair is Pairing.NONE)
        self._may_forget = not was_forgotten and (went_well or self._may_forget)
        self._counts.pair_failures += session.pair_failures
        self._counts.bonds_lost += session.bonds_lost
        self._first_warning_ns = session.first_warning_ns or self._first_warning_ns
        self._first_warning_max_ns = _longest(session.first_warning_ns, self._first_warning_max_ns)
        self._warn_write_max_ns = _longest(session.warn_write_max_ns, self._warn_write_max_ns)

    def _came_up(self, detail: str) -> None:
        gap_ns = None
        if self._down_since_mono_ns is not None:
            gap_ns = self._clock.mono_ns() - self._down_since_mono_ns
            self._down_since_mono_ns = None
        self._set_link(LinkState.UP, detail, gap_ns=gap_ns)

    def _went_down(self, detail: str) -> None:
        if self._down_since_mono_ns is None:
            self._down_since_mono_ns = self._clock.mono_ns()
        if self._link is not LinkState.LOST or detail != self._link_detail:
            self._set_link(LinkState.LOST, detail)

    def _set_link(self, state: LinkState, detail: str, *, gap_ns: int | None = None) -> None:
        self._link, self._link_detail = state, detail
        level = logging.INFO if state is LinkState.UP else logging.WARNING
        _log.log(level, "%s: link %s: %s", self.device_id, state, detail)
        self._emit(LinkEvent(state=state, detail=detail, gap_ns=gap_ns), stamps_now(self._clock))

    # What comes in

    def _hear_advert(self, advert: Advert) -> None:
        self._counts.adverts += 1
        tag = find_tag_advert(advert.data)
        identity, counter = (advert.address.encode(), None) if tag is None else (tag.rolling_id, tag.counter)
        mark = AdvertMark(identity, counter, advert.rssi_dbm)
        is_new, event = self._presence.hear_advert(mark, advert.t_rx_mono_ns)
        if not is_new:
            return
        self._counts.adverts_new += 1
        self._rssi_dbm = advert.rssi_dbm
        stamps = Stamps(
            t_rx_mono_ns=advert.t_receiver_mono_ns or advert.t_rx_mono_ns,
            t_rx_utc_ns=advert.t_rx_utc_ns,
            t_decoded_mono_ns=self._clock.mono_ns(),
        )
        self._tell_presence(event, stamps)

    def _hear_adapter(self, is_up: bool, detail: str) -> None:
        if not is_up and self._link is not LinkState.UP:
            self._went_down(detail)

    def _hear_value(self, report: BleReport | Reject, stamps: Stamps) -> None:
        self._counts.values += 1
        self._hear_answer(stamps)
        match report:
            case Reject():
                self._counts.rejects += 1
            case TagState():
                self._has_sos = report.sos
                self._lane.hear_state(report, stamps.t_rx_mono_ns)
            case TagEvent():
                self._lane.hear_event(report, stamps.t_rx_mono_ns)
            case _:
                pass
        self._update_urgency()
        self._emit(report, stamps)

    def _hear_answer(self, stamps: Stamps) -> None:
        self._tell_presence(self._presence.hear_link(stamps.t_rx_mono_ns), stamps)

    def _tell_presence(self, event: PresenceEvent | None, stamps: Stamps) -> None:
        self._presence_changed.set()
        if event is not None:
            self._emit(event, stamps)

    def _update_urgency(self) -> None:
        if self._seat is not None:
            calm = Urgency.SOS if self._has_sos else Urgency.ROUTINE
            self._seat.set_urgency(min(self._lane.urgency, calm))

    def _emit(self, report: BleReport | Reject | LinkEvent | PresenceEvent, stamps: Stamps) -> None:
        try:
            self._on_event(DeviceEvent(device_id=self.device_id, report=report, stamps=stamps))
        except BaseException as exc:
            # Most events come from callbacks of a library that would log this and go on; it ends run() instead.
            if self._crash is not None and not self._crash.done():
                self._crash.set_exception(exc)
            raise

    # Time

    async def _watch_presence(self) -> None:
        while True:
            due_mono_ns = self._presence.due_mono_ns
            if due_mono_ns is None:
                self._presence_changed.clear()
                await self._presence_changed.wait()
                continue
            # Heard meanwhile, the deadline has moved: it is asked for again after the sleep.
            await self._clock.sleep_until(due_mono_ns)
            event = self._presence.check(self._clock.mono_ns())
            if event is not None:
                self._emit(event, stamps_now(self._clock))

    async def _watch_warnings(self) -> None:
        while True:
            self._lane.changed.clear()
            # What is written or refused changes both: how much depends on a connection, and what is due when.
            self._update_urgency()
            due_mono_ns = self._lane.next_due_mono_ns
            if due_mono_ns is None:
                await self._lane.changed.wait()
                continue
            delay_s = (due_mono_ns - self._clock.mono_ns()) / 1e9
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(delay_s, 0)):
                    await self._lane.changed.wait()
            self._lane.expire(self._clock.mono_ns())


def _longest(*times_ns: int | None) -> int | None:
    return max((time_ns for time_ns in times_ns if time_ns is not None), default=None)
