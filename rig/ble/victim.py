"""The protected person's tag on the air: its firmware, its services, its changing address, and its own ears."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from devices.clock import Clock
from protocols.ble import uuids
from protocols.ble.ad import (
    FLAGS_GENERAL_DISCOVERABLE,
    FLAGS_NO_BR_EDR,
    AdvertisementData,
    encode_ad,
    parse_ad,
)
from protocols.ble.beacon import COMPANY_ID, SLOT_NS
from protocols.ble.smart_tag import WarnLevel
from protocols.rejects import Reject
from protocols.reports import TagMode
from rig.ble.air import Air
from rig.ble.firmware.buzzer import Buzz
from rig.ble.firmware.identity import draw_private_address
from rig.ble.firmware.location import TagReceiver
from rig.ble.firmware.outbox import TagChannel
from rig.ble.firmware.smart_tag import SOS_HOLD_NS, SmartTagFirmware
from rig.ble.firmware.smp import SmpAction, SmpServer
from rig.ble.hci_port import HciPort
from rig.ble.peripheral import Pairing, Peripheral
from rig.ble.services import Guard
from rig.ble.smp_server import SmpGatt
from rig.ble.tag_services import SmartTagServices
from rig.ble.tag_shell import TagShell
from rig.emulator.clock import NS_PER_S
from rig.emulator.noise import stream

INTERVAL_S: Final = 0.25
"""Advertising interval, seconds (a): a bridge that has lost its link finds the tag again within half a second."""
SILENT_BEFORE_S: Final = 0.1
"""Seconds before a slot's end from which on nothing is sent: no packet may carry the old address and the new id."""
SILENT_AFTER_S: Final = 2.0
"""Longest random silence after it, seconds: the first packet of the new id does not fall into the rhythm of the old."""
BOOT_S: Final = 0.2
"""Seconds from a reset to the first advertisement; a real bootloader that swaps images takes longer."""
SHORT_PRESS_S: Final = 0.2
"""How long a press lasts that is no call for help, seconds."""

_FLAGS: Final = FLAGS_GENERAL_DISCOVERABLE | FLAGS_NO_BR_EDR


@dataclass(frozen=True, slots=True, kw_only=True)
class TagChange:
    """Something about the tag has changed; ``t_ns`` is tag time, ``buzz`` what began or ended to be felt."""

    tag: str
    t_ns: int
    t_mono_ns: int
    level: WarnLevel
    mode: TagMode
    battery_pct: int
    connected: bool
    buzz: Buzz | None = None


class VictimTag(TagShell):
    """The smart tag of the protected person.

    Parameters
    ----------
    port : Air or HciPort
    name : str
        Its name on the bench. It is never sent.
    firmware : SmartTagFirmware
    clock : Clock
    interval_s : float
        Advertising interval.
    seed : int
        Fixes addresses and pauses.
    passkey : int, optional
        The six digits on its label; with them it pairs with protection against a man in the middle, which its keys
        ask for.
    guarded : bool
        Whether everything that tells or changes something asks for such a bond, not the keys alone.
    smp : SmpServer, optional
        Takes firmware.
    receiver : TagReceiver, optional
        Its satellite receiver.
    acknowledges_after_s : float, optional
        The person presses the button so long (tag time) after a warning begins.
    speed : float
    on_change : callable, optional
        Takes each `TagChange`, in order.
    """

    def __init__(
        self,
        port: Air | HciPort,
        *,
        name: str,
        firmware: SmartTagFirmware,
        clock: Clock,
        interval_s: float = INTERVAL_S,
        seed: int = 1,
        passkey: int | None = None,
        guarded: bool = False,
        smp: SmpServer | None = None,
        receiver: TagReceiver | None = None,
        acknowledges_after_s: float | None = None,
        speed: float = 1.0,
        on_change: Callable[[TagChange], None] | None = None,
    ) -> None:
        super().__init__(clock, speed=speed)
        self.firmware = firmware
        self.smp = smp
        self._on_air = isinstance(port, Air)
        self._rng = stream(seed, f"victim/{name}")
        self._receiver = receiver
        self._location = b""
        self._acknowledges_after_s = acknowledges_after_s
        self._press_at_ns: int | None = None
        self._on_change = on_change
        self._shown: tuple[object, ...] | None = None
        self._buzzes_told = 0
        self._slot = firmware.slot(0)
        self._resume_at_ns: int | None = None
        self._silent = False
        self._silent_since_ns = 0
        self._listened: frozenset[TagChannel] = frozenset()
        self._has_ears = False
        guard = Guard.AUTHENTICATED if guarded else Guard.OPEN
        self._gatt = None if smp is None else SmpGatt(smp, self._act, guard=guard)
        self._smp_task: asyncio.Task[None] | None = None
        self._down = False
        self._reboot_asked = False
        self._services = SmartTagServices(
            self,
            guard=guard,
            read_location=None if receiver is None else lambda: self._location,
            smp=self._gatt,
        )
        self._peripheral = Peripheral(
            port,
            name=name,
            address=draw_private_address(self._rng),
            services=self._services.all,
            advert=self._advert,
            interval_s=interval_s,
            pairing=Pairing.JUST_WORKS if passkey is None else Pairing.PASSKEY,
            passkey=passkey,
        )

    @property
    def peripheral(self) -> Peripheral:
        """The tag on its radio."""
        return self._peripheral

    # --- what is done to it -------------------------------------------------------------------------------------

    async def press(self, held_s: float = SHORT_PRESS_S) -> None:
        """Press the button for so long, tag time."""
        self.firmware.button_down(self.now_ns())
        self.wake()
        await asyncio.sleep(held_s / self._speed)
        self.firmware.button_up(self.now_ns())
        self.wake()

    async def call_for_help(self) -> None:
        """Hold the button until it counts as SOS."""
        await self.press(SOS_HOLD_NS / NS_PER_S + 0.1)

    async def _act(self, action: SmpAction) -> None:
        """Start again, or have the battery pulled for a moment."""
        if action is SmpAction.POWER_CUT and self._on_air:
            self._peripheral.drop_link()
        else:
            await self._peripheral.disconnect()
        await self.reboot()

    def ask_reboot(self) -> None:
        """Have the tag start again in its own time."""
        self._reboot_asked = True
        self.wake()

    async def reboot(self) -> None:
        """Start the tag again; a marked firmware image is started."""
        self._down = True
        await self._peripheral.pause_advertising()
        if self.smp is not None:
            self.smp.restart()
        self.firmware.reboot(self.now_ns())
        await asyncio.sleep(BOOT_S)
        self._down = False
        await self._peripheral.resume_advertising()
        self.wake()

    # --- its life -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Switch the tag on."""
        for channel, characteristic in self._services.notified.items():
            self.on_subscription(characteristic.uuid, partial(self._subscribed, channel))
        await super().start()
        if self._gatt is not None:
            self._smp_task = asyncio.create_task(
                self._gatt.run(self._peripheral), name=f"management of {self._peripheral.name}"
            )

    async def stop(self) -> None:
        """Switch it off."""
        task, self._smp_task = self._smp_task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await super().stop()

    async def _turn(self, t_ns: int) -> int:
        if self._reboot_asked:
            self._reboot_asked = False
            await self._peripheral.disconnect()
            await self.reboot()
            t_ns = self.now_ns()
        self.firmware.run(t_ns)
        await self._change_identity(t_ns)
        await self._open_ears()
        self._acknowledge(t_ns)
        due = [self.firmware.next_due_ns(), self._identity_due_ns()]
        if self._press_at_ns is not None:
            due.append(self._press_at_ns)
        if self._receiver is not None:
            if self._receiver.due_ns <= t_ns:
                self._location = self._receiver.observe(t_ns, self.firmware.utc_ns(t_ns))
                self.firmware.set_gnss(self._receiver.has_fix)
                self.firmware.set_motion(self._receiver.moving)
                if self._services.located is not None:
                    await self._peripheral.notify(self._services.located, self._location)
            due.append(self._receiver.due_ns)
        if self._listened:
            for note in self.firmware.take_notifications(t_ns, self._listened):
                await self._peripheral.notify(self._services.notified[note.channel], note.value)
        self._tell_changes(t_ns)
        return min(due)

    def _acknowledge(self, t_ns: int) -> None:
        if self._acknowledges_after_s is None or self.firmware.mode is not TagMode.WARNING:
            self._press_at_ns = None
            return
        if self._press_at_ns is None:
            self._press_at_ns = t_ns + round(self._acknowledges_after_s * NS_PER_S)
        if self._press_at_ns <= t_ns:
            self._press_at_ns = None
            self.firmware.button_down(t_ns)
            self.firmware.button_up(t_ns)

    def _tell_changes(self, t_ns: int) -> None:
        if self._on_change is None:
            return
        log = self.firmware.buzzer.log
        for buzz in log[self._buzzes_told :]:
            self._on_change(self._change(buzz.t_ns, buzz))
        self._buzzes_told = len(log)
        shown = (self.firmware.level, self.firmware.mode, self.firmware.battery_pct, self._peripheral.connected)
        if shown != self._shown:
            self._shown = shown
            self._on_change(self._change(t_ns, None))

    def _change(self, t_ns: int, buzz: Buzz | None) -> TagChange:
        return TagChange(
            tag=self._peripheral.name,
            t_ns=t_ns,
            t_mono_ns=self.mono_ns_of(t_ns),
            level=self.firmware.level,
            mode=self.firmware.mode,
            battery_pct=self.firmware.battery_pct,
            connected=self._peripheral.connected,
            buzz=buzz,
        )

    # --- who it is ----------------------------------------------------------------------------------------------

    def _advert(self) -> tuple[bytes, bytes]:
        t_ns = self.now_ns()
        if self._silent or self._down or not self.firmware.on_air or self.firmware.slot(t_ns) != self._slot:
            # between two identities: a packet without content, which a controller that cannot pause sends
            return b"", b""
        data = self.firmware.advert(t_ns)
        if data is None:
            return encode_ad(AdvertisementData(flags=_FLAGS, service_uuids=(uuids.SMART_TAG_SERVICE,))), b""
        return encode_ad(AdvertisementData(flags=_FLAGS, manufacturer_data={COMPANY_ID: data})), b""

    def _slot_end_ns(self) -> int:
        """Tag time at which the id ends that the tag goes by."""
        return (self._slot + 1) * SLOT_NS - self.firmware.utc_ns(0)

    def _identity_due_ns(self) -> int:
        if self._resume_at_ns is not None:
            return self._resume_at_ns
        return self._slot_end_ns() - (0 if self._silent else round(SILENT_BEFORE_S * NS_PER_S * self._speed))

    async def _change_identity(self, t_ns: int) -> None:
        """Fall silent before the slot ends, and come back under another address after a random while."""
        slot_s = SLOT_NS / NS_PER_S / self._speed
        if not self._silent and t_ns >= self._identity_due_ns():
            self._silent = True
            self._silent_since_ns = t_ns
            if not self._peripheral.connected:
                await self._peripheral.pause_advertising()
        if self._silent and self._resume_at_ns is None and self.firmware.slot(t_ns) != self._slot:
            pause_s = self._rng.uniform(0, min(SILENT_AFTER_S, 0.2 * slot_s))
            # a tag that fell silent late is silent as long as one that did in time
            rested_ns = self._silent_since_ns + round(SILENT_BEFORE_S * NS_PER_S * self._speed)
            self._resume_at_ns = max(t_ns, rested_ns) + round(pause_s * NS_PER_S * self._speed)
        if self._resume_at_ns is not None and t_ns >= self._resume_at_ns:
            self._resume_at_ns = None
            self._slot = self.firmware.slot(t_ns)
            # a controller takes no new address while it scans, and a link that ended may have made it advertise again
            await self._close_ears()
            await self._peripheral.pause_advertising()
            self._silent = False
            await self._peripheral.set_address(draw_private_address(self._rng))

    # --- what it hears ------------------------------------------------------------------------------------------

    async def _open_ears(self) -> None:
        """Listen as soon as there is a beacon to know: ears for nothing would hear every other tag."""
        if self.firmware.knows_beacon and not self._has_ears:
            self._has_ears = True
            await self._peripheral.listen(self._heard)

    async def _close_ears(self) -> None:
        if self._has_ears:
            self._has_ears = False
            await self._peripheral.stop_listening()

    def _heard(self, _address: str, data: bytes, rssi_dbm: int) -> None:
        if self._down or not self.firmware.on_air:
            return
        advert = parse_ad(data)
        if isinstance(advert, Reject):
            return
        content = advert.manufacturer_data.get(COMPANY_ID)
        if content is not None and self.firmware.hear(content, rssi_dbm=rssi_dbm, t_ns=self.now_ns()) is not None:
            self.wake()

    def _link_up(self) -> None:
        self.firmware.link_up(self.now_ns())

    def _link_down(self, lost: bool) -> None:
        self._listened = frozenset()
        if self._gatt is not None:
            self._gatt.link_down()
        self.firmware.link_down(self.now_ns(), lost=lost)

    def _subscribed(self, channel: TagChannel, notify: bool) -> None:
        # what has waited for a link goes out once somebody listens to it
        self._listened = self._listened | {channel} if notify else self._listened - {channel}
        self.wake()
