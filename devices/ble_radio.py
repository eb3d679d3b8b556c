"""Adapters shared by many tags: one scan each, advertisements to whom they belong, turns to connect, places to hold.

A tag's driver takes a ``Seat``. The adapter listens as long as somebody sits; a scan that fell silent is started anew,
which is also how an adapter that was switched off, pulled out or put back is noticed: no library tells.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from types import TracebackType
from typing import Self

from devices.backoff import Backoff
from devices.ble_finder import TagFinder
from devices.ble_link import Advert, Link, RadioDoor, Scan
from devices.ble_seat import Seat
from devices.ble_slots import SLOTS_DEFAULT, plan_slots
from devices.ble_target import BleTarget
from devices.clock import Clock
from devices.errors import RadioAbsentError, RadioError

SILENCE_S = 5.0
"""s. A scan that reported nothing for so long is started anew. Where there are tags there are several advertisements a
second; where there is nothing, the cost is two calls to the Bluetooth service."""
RECHECK_S = 1.0
"""s. Least time between two such restarts, however many connections break at once: BlueZ needs some 100 ms for one."""
LIMIT_HOLDS_NS = 600_000_000_000
"""ns until an adapter that refused a connection is tried with one more: another program may have held the place. A try
that is refused costs one attempt."""
DoorOpener = Callable[[str | None, Clock], RadioDoor]

_log = logging.getLogger(__name__)


class Radio:
    """All adapters that somebody uses.

    Parameters
    ----------
    clock : Clock
    open_door : callable
        Gives the library behind an adapter.
    n_slots : int
        Connections that one adapter keeps.
    rng : random.Random, optional
        Jitter of the backoff.
    """

    def __init__(
        self,
        clock: Clock,
        open_door: DoorOpener,
        *,
        n_slots: int = SLOTS_DEFAULT,
        silence_s: float = SILENCE_S,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._open_door = open_door
        self._n_slots = n_slots
        self._silence_s = silence_s
        self._rng = rng or random.Random()
        self._adapters: dict[str | None, _Adapter] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        adapters, self._adapters = list(self._adapters.values()), {}
        await asyncio.gather(*(adapter.close() for adapter in adapters))

    def seat(
        self,
        device_id: str,
        target: BleTarget,
        *,
        on_advert: Callable[[Advert], None],
        on_adapter: Callable[[bool, str], None],
    ) -> Seat:
        """Take a seat at the adapter of a target.

        Parameters
        ----------
        device_id : str
        target : BleTarget
        on_advert : callable
            Called with each advertisement of this tag.
        on_adapter : callable
            Called with True when the adapter works, with False and why when it does not.
        """
        return self._adapter(target.adapter).add(device_id, target, on_advert, on_adapter)

    def listen(
        self, adapter: str | None, on_advert: Callable[[Advert], None], on_adapter: Callable[[bool, str], None]
    ) -> Callable[[], None]:
        """Have every advertisement that an adapter hears handed on; call what is returned to end it.

        ``on_adapter`` is called with each change of the adapter, and with its state where that is known already.
        """
        return self._adapter(adapter).listen(on_advert, on_adapter)

    def _adapter(self, name: str | None) -> "_Adapter":
        if name not in self._adapters:
            self._adapters[name] = _Adapter(
                name,
                self._clock,
                self._open_door,
                n_slots=self._n_slots,
                silence_s=self._silence_s,
                backoff=Backoff(self._rng),
            )
        return self._adapters[name]


class _Adapter:
    def __init__(
        self,
        name: str | None,
        clock: Clock,
        open_door: DoorOpener,
        *,
        n_slots: int,
        silence_s: float,
        backoff: Backoff,
    ) -> None:
        self.clock = clock
        self.down_detail: str | None = None
        self._name = name or "default adapter"
        self._adapter_name = name
        self._open_door = open_door
        self._door: RadioDoor | None = None
        self._n_slots = self._n_slots_told = n_slots
        self._limited_mono_ns: int | None = None
        self._silence_s = silence_s
        self._backoff = backoff
        self._seats: dict[str, Seat] = {}
        self._finder: TagFinder[Seat] = TagFinder()
        self._listeners: list[tuple[Callable[[Advert], None], Callable[[bool, str], None]]] = []
        self._is_up: bool | None = None
        self._last_heard_mono_ns = clock.mono_ns()
        self._suspected = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    # Who uses it

    def add(
        self,
        device_id: str,
        target: BleTarget,
        on_advert: Callable[[Advert], None],
        on_adapter: Callable[[bool, str], None],
    ) -> Seat:
        if device_id in self._seats:
            raise ValueError(f"{device_id}: two drivers of one device_id at {self._name}")
        seat = self._seats[device_id] = Seat(self, device_id, target, on_advert, on_adapter)
        self._finder.add(seat, address=target.address, key=target.key)
        self._start()
        return seat

    def remove(self, seat: Seat) -> None:
        self._seats.pop(seat.device_id, None)
        self._finder.remove(seat)
        self.plan()

    def listen(
        self, on_advert: Callable[[Advert], None], on_adapter: Callable[[bool, str], None]
    ) -> Callable[[], None]:
        entry = (on_advert, on_adapter)
        self._listeners.append(entry)
        self._start()
        if self._is_up is not None:
            on_adapter(self._is_up, self.down_detail or f"{self._name} listens")
        return lambda: self._listeners.remove(entry)

    async def connect(self, advert: Advert, *, within_s: float) -> Link:
        if self._door is None:
            raise RadioAbsentError(f"{self._name}: {self.down_detail or 'not open'}")
        return await self._door.connect(advert, within_s=within_s)

    async def forget(self, advert: Advert, *, within_s: float) -> None:
        if self._door is not None:
            await self._door.forget(advert, within_s=within_s)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._door is not None:
            await self._door.close()

    def suspect(self) -> None:
        self._suspected.set()

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._keep_listening())

    # Listening

    async def _keep_listening(self) -> None:
        while True:
            self._suspected.clear()
            try:
                if self._door is None:
                    self._door = self._open_door(self._adapter_name, self.clock)
                scan = await self._door.start_scan(self._on_advert)
            except RadioError as exc:
                self._set_up(False, str(exc))
                await self._pause()
                continue
            except Exception as exc:  # noqa: BLE001 - told, and tried again
                # Nobody waits for this task: if it ended here, no tag would be heard again and nobody would know why.
                _log.critical("%s: an error that no library should raise", self._name, exc_info=exc)
                self._set_up(False, f"{self._name}: {exc!r}")
                await self._pause()
                continue
            self._backoff.reset()
            self._set_up(True, f"{self._name} listens")
            try:
                await asyncio.sleep(min(RECHECK_S, self._silence_s))
                await self._until_silent_or_suspected()
            finally:
                await self._end(scan)

    async def _end(self, scan: Scan) -> None:
        try:
            await scan.stop()
        except Exception as exc:  # noqa: BLE001 - told, and a new one is started
            _log.critical("%s: a scan that cannot be ended", self._name, exc_info=exc)

    async def _pause(self) -> None:
        await self.clock.sleep_until(self.clock.mono_ns() + self._backoff.next_ns())

    async def _until_silent_or_suspected(self) -> None:
        self._last_heard_mono_ns = max(self._last_heard_mono_ns, self.clock.mono_ns() - round(RECHECK_S * 1e9))
        while not self._suspected.is_set():
            silent_s = (self.clock.mono_ns() - self._last_heard_mono_ns) / 1e9
            if silent_s >= self._silence_s:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._silence_s - silent_s):
                    await self._suspected.wait()

    def _set_up(self, is_up: bool, detail: str) -> None:
        if (is_up, detail) == (self._is_up, self.down_detail) or (is_up and self._is_up):
            return
        _log.info("%s", detail)
        self._is_up = is_up
        self.down_detail = None if is_up else detail
        for seat in list(self._seats.values()):
            seat.on_adapter(is_up, detail)
        for _, on_adapter in list(self._listeners):
            on_adapter(is_up, detail)

    def _on_advert(self, advert: Advert) -> None:
        self._last_heard_mono_ns = advert.t_rx_mono_ns
        for on_advert, _ in list(self._listeners):
            on_advert(advert)
        seat = self._finder.find(advert)
        if seat is not None:
            seat.hear(advert)

    # Turns and places

    def plan_at(self, mono_ns: int) -> None:
        """Look at turns and places now, and again at that time."""
        delay_s = (mono_ns - self.clock.mono_ns()) / 1e9
        if delay_s > 0:
            asyncio.get_running_loop().call_later(delay_s, self.plan)
        else:
            self.plan()

    def learn_limit(self) -> None:
        """Keep no more connections than there are now: the adapter has refused one more."""
        n_linked = sum(seat.linked_since_mono_ns is not None for seat in self._seats.values())
        self._n_slots = max(min(self._n_slots, n_linked), 1)
        self._limited_mono_ns = self.clock.mono_ns()
        _log.warning("%s: refused a connection; %d are kept for now", self._name, self._n_slots)
        self.plan()

    def _forget_limit(self, now_mono_ns: int) -> None:
        """Try one place more after a while."""
        if self._limited_mono_ns is None or now_mono_ns - self._limited_mono_ns < LIMIT_HOLDS_NS:
            return
        self._n_slots += 1
        self._limited_mono_ns = now_mono_ns if self._n_slots < self._n_slots_told else None

    def plan(self) -> None:
        now_mono_ns = self.clock.mono_ns()
        self._forget_limit(now_mono_ns)
        claims = [seat.claim(now_mono_ns) for seat in self._seats.values()]
        plan = plan_slots(claims, n_slots=self._n_slots, now_mono_ns=now_mono_ns)
        if plan.connect is not None:
            seat = self._seats[plan.connect]
            seat.is_connecting = True
            seat.give_way.clear()
            seat.may_connect.set()
        for device_id in (plan.abandon, plan.release):
            if device_id is not None:
                self._seats[device_id].give_way.set()
        self._plan_later(any(claim.is_ready for claim in claims))

    def _plan_later(self, somebody_waits: bool) -> None:
        """Places change hands by time too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if somebody_waits:
            self._timer = asyncio.get_running_loop().call_later(1.0, self.plan)
