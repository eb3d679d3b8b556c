"""One connection to a tag from its first write to its end: warnings first, then everything else, one call at a time."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from devices.ble_link import Characteristic, Link
from devices.ble_target import BleTarget, Pairing
from devices.clock import Clock
from devices.errors import AttRefusedError, BondUnprotectedError, LinkAuthError, LinkLostError, RadioError
from devices.events import Stamps, stamps_now
from devices.presence import PRESENCE_LIMIT_NS
from devices.smart_tag_profile import Decoder, Source, TagProfile, decode_information, read_profile
from devices.smart_tag_warn import ACK_S, WARN_PATIENCE_S, WarnLane
from protocols.ble.gatt import AlertLevel, encode_alert_level, encode_current_time
from protocols.ble.smart_tag import TagKeys, WarnCommand, WarnLevel, encode_tag_keys, encode_warn
from protocols.rejects import Reject
from protocols.reports import BleReport

_ALERT = {
    WarnLevel.STAND_DOWN: AlertLevel.NONE,
    WarnLevel.NOTICE: AlertLevel.MILD,
    WarnLevel.ALARM: AlertLevel.HIGH,
    WarnLevel.CONTACT: AlertLevel.HIGH,
}
"""What a plain tag, which knows three levels, is told."""


_STALE_CODES = frozenset({0x01, 0x03, 0x06, 0x0A})
"""ATT errors that a warning meets at a handle which is no longer its own: invalid handle, write not permitted, request
not supported, attribute not found. BlueZ keeps a tag's services over a firmware update."""


CLOCK_STEP_NS = 10_000_000_000
"""ns. Our clock was set if it moved so far against the monotonic one: the tag is told the time anew. Its ids change
with its time every 15 minutes; one whose time is an hour off is not known again once it has lost the link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagTiming:
    """Deadlines and intervals of one tag's driver, seconds.

    Attributes
    ----------
    connect_s : float
        A connection attempt with the discovery of services. Adapters wait for the next advertisement (up to 1 s, some
        lost) and discovery takes up to 2 s on slow links.
    answer_s : float
        Any read or write. Links survive silences of up to their supervision timeout (2 to 6 s, mostly 4): shorter would
        end links that recover.
    write_s : float
        A warning's write: shorter, because a new connection is made in less than the rest of it.
    pulse_s : float
        Interval at which the state is read. A frozen tag is noticed after at most this and ``answer_s``.
    pair_s : float
        Pairing, in which a person may have to read a passkey (Core, volume 3, part H, 3.4: 30 s).
    pair_again_s : float
        Between attempts at pairing that were refused: a warning must find the link, not a pairing.
    patience_s, ack_s : float
        See ``WarnLane``.
    presence_s : float
        See ``PresenceWatch``.
    """

    connect_s: float = 8.0
    answer_s: float = 4.0
    write_s: float = 2.5
    pulse_s: float = 4.0
    pair_s: float = 30.0
    pair_again_s: float = 60.0
    patience_s: float = WARN_PATIENCE_S
    ack_s: float = ACK_S
    presence_s: float = PRESENCE_LIMIT_NS / 1e9


class TagSession:
    """Works on one connection.

    Warnings are written by a task of their own that waits for nothing but an earlier warning. Everything else goes one
    call after the other, so that at most one read is under way before a warning: a tag answers one request at a time.
    """

    def __init__(
        self,
        device_id: str,
        link: Link,
        target: BleTarget,
        lane: WarnLane,
        clock: Clock,
        timing: TagTiming,
        *,
        tag_keys: tuple[bytes | None, bytes | None] | None,
        may_forget: bool,
        pair_from_mono_ns: int,
        on_value: Callable[[BleReport | Reject, Stamps], None],
        on_answer: Callable[[Stamps], None],
    ) -> None:
        self.profile: TagProfile = read_profile(link.characteristics)
        self.ending: str | None = None
        self.is_set_up = False
        self.keys_are_sent = False
        self.is_secured = False
        self.pair_failures = 0
        self.bonds_lost = 0
        self.services_stale = False
        self.first_warning_ns: int | None = None
        self.warn_write_max_ns: int | None = None
        self._device_id = device_id
        self._link = link
        self._target = target
        self._lane = lane
        self._clock = clock
        self._timing = timing
        self._tag_keys = tag_keys
        self._may_forget = may_forget
        self._pair_from_mono_ns = pair_from_mono_ns
        self._on_value = on_value
        self._on_answer = on_answer
        self._linked_mono_ns = clock.mono_ns()
        self._owes_warning = False
        self._guarded: list[Source] = []
        self._pairing = asyncio.Lock()
        self._sent_offset_ns: int | None = None

    async def run(self, *, on_detail: Callable[[str], None]) -> None:
        """Work until the connection fails.

        Raises
        ------
        RadioError
            Why it did.
        """
        if not self.profile.can_warn:
            # The Bluetooth service may have cached what an earlier firmware offered.
            await self._forget(f"{self._device_id}: offers no service that can warn")
        self._owes_warning = self._lane.link_is_up()
        parts = (self._write_warnings(), self._serve(on_detail))
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    # Warnings

    async def _write_warnings(self) -> None:
        while True:
            command = self._lane.take()
            if command is None:
                await self._lane.to_write.wait()
                continue
            asked_mono_ns = self._clock.mono_ns()
            try:
                await self._write_warning(command)
            except (AttRefusedError, LinkAuthError) as exc:
                self._lane.refused(command, str(exc) + await self._alert_instead(command))
                continue
            now_mono_ns = self._clock.mono_ns()
            self._lane.written(command, now_mono_ns, will_answer=self.profile.is_smart)
            self.warn_write_max_ns = max(now_mono_ns - asked_mono_ns, self.warn_write_max_ns or 0)
            if self._owes_warning and self.first_warning_ns is None:
                self.first_warning_ns = now_mono_ns - self._linked_mono_ns

    async def _write_warning(self, command: WarnCommand) -> None:
        profile, within_s = self.profile, self._timing.write_s
        if profile.warn is not None and profile.is_smart:
            data = encode_warn(command)
            try:
                await self._link.write(profile.warn.handle, data, response=True, within_s=within_s)
            except LinkAuthError:
                if self._target.pair is Pairing.NONE:
                    raise
                await self._pair()
                await self._write_secured(profile.warn, data, within_s)
            except AttRefusedError as exc:
                if exc.code in _STALE_CODES and self._may_forget:
                    self.services_stale = True
                    await self._forget(f"{exc}: its services are not those that were cached; found anew")
                raise
            return
        # While a warning stands, a tag that loses its link keeps warning by itself.
        for alert in (profile.immediate_alert, profile.link_loss_alert):
            if alert is not None:
                await self._write_alert(alert, command.level)

    async def _write_alert(self, alert: Characteristic, level: WarnLevel) -> None:
        """Write the level of a standard service."""
        data = encode_alert_level(_ALERT[level])
        response = "write-without-response" not in alert.properties
        await self._link.write(alert.handle, data, response=response, within_s=self._timing.write_s)

    async def _disarm(self) -> None:
        """Take back what an earlier run of ours left in a plain tag: it would sound at every lost link."""
        alert, before = self.profile.link_loss_alert, self._lane.standing
        if self.profile.is_smart or alert is None or before is not None:
            return
        with contextlib.suppress(AttRefusedError, LinkAuthError):
            await self._write_alert(alert, WarnLevel.STAND_DOWN)
            now = self._lane.standing
            if now is not None:
                # a warning that was asked meanwhile goes first, so this may have undone it
                await self._write_alert(alert, now.level)

    async def _alert_instead(self, command: WarnCommand) -> str:
        """Sound a smart tag that refuses warnings as any locator could; say so. It stays lost: nobody confirms this."""
        alert = self.profile.immediate_alert
        if alert is None or not self.profile.is_smart:
            return ""
        try:
            await self._write_alert(alert, command.level)
        except (AttRefusedError, LinkAuthError):
            return ""
        return "; its Immediate Alert was written instead, which nobody confirms"

    # Everything else

    async def _serve(self, on_detail: Callable[[str], None]) -> None:
        self._guarded = [source for source in self.profile.sources if not await self._follow(source)]
        if self._guarded and self._target.pair is Pairing.NONE:
            # It shows her warnings perhaps; her call and her button are not heard.
            hidden = f"{len(self._guarded)} of its values are for a secured link only, her call perhaps among them"
            on_detail(f"{self.profile.describe()}; {hidden}. Next: pair=mitm or pair=bond in its transport")
        await self._disarm()
        await self._secure(on_detail)
        await self._read_information()
        self.is_set_up = True
        await self._watch(on_detail)

    async def _follow(self, source: Source) -> bool:
        """Subscribe to a value and read it once; return False where the tag wants a secured link for that."""
        characteristic = source.characteristic
        try:
            if characteristic.properties & {"notify", "indicate"}:
                handed_on = partial(self._take, source.decode)
                await self._link.subscribe(characteristic.handle, handed_on, within_s=self._timing.answer_s)
            if "read" in characteristic.properties:
                self._take(source.decode, await self._read(characteristic))
        except LinkAuthError:
            return False
        except AttRefusedError:
            pass
        return True

    async def _read_information(self) -> None:
        values: dict[str, bytes] = {}
        for name, characteristic in self.profile.information.items():
            with contextlib.suppress(AttRefusedError, LinkAuthError):
                values[name] = await self._read(characteristic)
        if not values:
            return
        information, rejects = decode_information(values)
        self._on_value(information, stamps_now(self._clock))
        for reject in rejects:
            self._on_value(reject, stamps_now(self._clock))

    async def _read(self, characteristic: Characteristic) -> bytes:
        return await self._link.read(characteristic.handle, within_s=self._timing.answer_s)

    def _take(self, decode: Decoder, data: bytes) -> None:
        t_rx_mono_ns, t_rx_utc_ns = self._clock.mono_ns(), self._clock.utc_ns()
        report = decode(data)
        stamps = Stamps(t_rx_mono_ns=t_rx_mono_ns, t_rx_utc_ns=t_rx_utc_ns, t_decoded_mono_ns=self._clock.mono_ns())
        self._on_value(report, stamps)

    async def _watch(self, on_detail: Callable[[str], None]) -> None:
        """Read the state at an interval, and when a warning asks for it: silence is told from a tag that has frozen."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.pulse_s):
                    await self._lane.to_check.wait()
            self._lane.to_check.clear()
            await self._feel_pulse()
            await self._mend_time()
            if not self.is_secured:
                await self._secure(on_detail)

    async def _feel_pulse(self) -> None:
        """Read something; a refusal is an answer too. Of a tag that has nothing to read, the link itself is the answer.

        A tag on a link advertises nothing: without this, one that says nothing by itself would seem to be gone.
        """
        if self.profile.pulse is not None:
            with contextlib.suppress(AttRefusedError, LinkAuthError):
                data = await self._read(self.profile.pulse)
                if self.profile.state is not None:
                    self._take(self.profile.state.decode, data)
        self._on_answer(stamps_now(self._clock))

    # Security

    async def _secure(self, on_detail: Callable[[str], None]) -> None:
        """Pair, then send what only a secured link may carry. A refusal leaves a link that warnings still go over."""
        if self._target.pair is Pairing.NONE or self._clock.mono_ns() < self._pair_from_mono_ns:
            return
        try:
            await self._pair()
            for send in (self._send_time, self._send_keys):
                try:
                    await send()
                except AttRefusedError as exc:
                    on_detail(f"{self.profile.describe()}; {exc}")
        except LinkAuthError as exc:
            self.pair_failures += 1
            self._pair_from_mono_ns = self._pair_again_mono_ns()
            on_detail(f"{self.profile.describe()}; not secured: {exc}")
            return
        self.is_secured = True
        guarded, self._guarded = self._guarded, []
        for source in guarded:
            await self._follow(source)

    @property
    def pair_from_mono_ns(self) -> int:
        """When the next attempt at pairing may be made."""
        return self._pair_from_mono_ns

    def _pair_again_mono_ns(self) -> int:
        return self._clock.mono_ns() + round(self._timing.pair_again_s * 1e9)

    async def _pair(self) -> None:
        async with self._pairing:
            try:
                await self._link.pair(passkey=self._target.passkey, within_s=self._timing.pair_s)
            except BondUnprotectedError as exc:
                self.pair_failures += 1
                self._pair_from_mono_ns = self._pair_again_mono_ns()
                await self._forget(f"{exc}; the bond was removed, nothing secret is sent")

    async def _send_time(self) -> None:
        if self.profile.clock is not None:
            utc_ns, mono_ns = self._clock.utc_ns(), self._clock.mono_ns()
            await self._write_secured(self.profile.clock, encode_current_time(utc_ns), self._timing.answer_s)
            self._sent_offset_ns = utc_ns - mono_ns

    async def _mend_time(self) -> None:
        """Tell the time again after our clock was set: a machine may learn the time after the tag has."""
        offset_ns = self._clock.utc_ns() - self._clock.mono_ns()
        if self._sent_offset_ns is not None and abs(offset_ns - self._sent_offset_ns) >= CLOCK_STEP_NS:
            with contextlib.suppress(AttRefusedError, LinkAuthError):
                await self._send_time()

    async def _send_keys(self) -> None:
        if self.profile.keys is None or self._tag_keys is None or self._target.pair is not Pairing.MITM:
            return
        tag_key, beacon_key = self._tag_keys
        if tag_key is not None:
            value = encode_tag_keys(TagKeys(tag_key=tag_key, beacon_key=beacon_key))
            await self._write_secured(self.profile.keys, value, self._timing.answer_s)
            self.keys_are_sent = True

    async def _write_secured(self, characteristic: Characteristic, value: bytes, within_s: float) -> None:
        try:
            await self._link.write(characteristic.handle, value, response=True, within_s=within_s)
        except LinkAuthError as exc:
            if not self._may_forget:
                raise
            # Paired on our side, a stranger to the tag: it has lost the bond. Ours is worth nothing without it.
            self.bonds_lost += 1
            await self._forget(f"{self._device_id}: the tag has lost its bond ({exc}); pairing anew")

    async def _forget(self, detail: str) -> NoReturn:
        """Remove the device from the Bluetooth service, bond and cached services with it; that ends the link."""
        self.ending = detail
        with contextlib.suppress(RadioError):
            await self._link.forget(within_s=self._timing.answer_s)
        raise LinkLostError(detail)
