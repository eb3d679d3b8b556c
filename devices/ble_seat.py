"""What one tag's driver has at an adapter: its advertisements, its turn to connect, its place among the connections."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from devices.ble_link import Advert, Link
from devices.ble_slots import Claim, Urgency
from devices.ble_target import BleTarget
from devices.clock import Clock
from devices.errors import LinkFailedError, NoSlotError

FRESH_NS = 12_000_000_000
"""ns. How old an advertisement may be to connect on. Linux reports a constant one about every 10 s only."""


class SeatAdapter(Protocol):
    """What a seat needs of its adapter."""

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

    @property
    def down_detail(self) -> str | None:
        """Why it cannot be used; None while it can."""
        ...

    def plan(self) -> None:
        """Look at turns and places now."""
        ...

    def plan_at(self, mono_ns: int) -> None:
        """Look at them then."""
        ...

    def learn_limit(self) -> None:
        """Keep no more connections than there are now."""
        ...

    def suspect(self) -> None:
        """See whether the adapter still works."""
        ...

    def remove(self, seat: "Seat") -> None:
        """Take a seat away."""
        ...

    async def connect(self, advert: Advert, *, within_s: float) -> Link:
        """Connect to the sender of an advertisement."""
        ...

    async def forget(self, advert: Advert, *, within_s: float) -> None:
        """Remove the bond with it."""
        ...


class Seat:
    """What one tag's driver has at an adapter.

    Attributes
    ----------
    may_connect : asyncio.Event
        Set while it is this tag's turn; ``connect`` uses it up.
    give_way : asyncio.Event
        Set when a more urgent tag needs the place: end the attempt or the connection.
    newest : Advert or None
        The tag's last advertisement.
    """

    def __init__(
        self,
        adapter: SeatAdapter,
        device_id: str,
        target: BleTarget,
        on_advert: Callable[[Advert], None],
        on_adapter: Callable[[bool, str], None],
    ) -> None:
        self.device_id = device_id
        self.target = target
        self.on_advert = on_advert
        self.on_adapter = on_adapter
        self.may_connect = asyncio.Event()
        self.give_way = asyncio.Event()
        self.newest: Advert | None = None
        self.urgency = Urgency.ROUTINE
        self.linked_since_mono_ns: int | None = None
        self.is_connecting = False
        self.last_linked_mono_ns = adapter.clock.mono_ns()
        self._adapter = adapter
        self._ready_at_mono_ns: int | None = None
        self._used: Advert | None = None

    @property
    def adapter_detail(self) -> str | None:
        """Why the adapter cannot be used; None while it can."""
        return self._adapter.down_detail

    def want(self, *, not_before_mono_ns: int) -> None:
        """Ask for a turn to connect, from that time on."""
        self._ready_at_mono_ns = not_before_mono_ns
        self._adapter.plan_at(not_before_mono_ns)

    def set_urgency(self, urgency: Urgency) -> None:
        """Say how much depends on a connection now."""
        if urgency is not self.urgency:
            self.urgency = urgency
            self._adapter.plan()

    async def connect(self, *, within_s: float) -> Link:
        """Connect to the sender of the newest advertisement, in this tag's turn.

        Raises
        ------
        RadioError
            The turn is given back.
        """
        advert = self.newest
        self.may_connect.clear()
        self._ready_at_mono_ns = None
        # An attempt uses its advertisement up: the next needs one that came after it, so that a tag which has left does
        # not keep the adapter busy.
        self._used = advert
        try:
            if advert is None:
                raise LinkFailedError(f"{self.device_id}: not heard yet")
            link = await self._adapter.connect(advert, within_s=within_s)
        except NoSlotError:
            self.is_connecting = False
            self._adapter.learn_limit()
            raise
        except BaseException:
            self.is_connecting = False
            self._adapter.plan()
            raise
        self.is_connecting = False
        self.linked_since_mono_ns = self.last_linked_mono_ns = self._adapter.clock.mono_ns()
        self._adapter.plan()
        return link

    async def attempt(self, *, within_s: float) -> Link | None:
        """``connect``, unless a more urgent tag needs the turn meanwhile: then None."""
        attempt = asyncio.create_task(self.connect(within_s=within_s))
        gives_way = asyncio.create_task(self.give_way.wait())
        try:
            await asyncio.wait({attempt, gives_way}, return_when=asyncio.FIRST_COMPLETED)
            if not attempt.done():
                attempt.cancel()
                await asyncio.wait({attempt})
            return None if attempt.cancelled() else attempt.result()
        finally:
            gives_way.cancel()
            if not attempt.done():
                attempt.cancel()
                await asyncio.wait({attempt})
                if not attempt.cancelled() and attempt.exception() is None:
                    await attempt.result().disconnect()
            await asyncio.gather(gives_way, return_exceptions=True)

    async def forget(self, *, within_s: float) -> None:
        """Remove the bond with the tag."""
        if self.newest is not None:
            await self._adapter.forget(self.newest, within_s=within_s)

    def left(self) -> None:
        """Say that the connection is over."""
        if self.linked_since_mono_ns is not None:
            self.last_linked_mono_ns = self._adapter.clock.mono_ns()
        self.linked_since_mono_ns = None
        self.give_way.clear()
        self._adapter.plan()

    def suspect(self) -> None:
        """Say that a connection broke for no known reason: perhaps the adapter went."""
        self._adapter.suspect()

    def hear(self, advert: Advert) -> None:
        """Take an advertisement of this tag."""
        first_since_used = self.newest is self._used
        self.newest = advert
        self.on_advert(advert)
        if first_since_used:
            self._adapter.plan()

    def claim(self, now_mono_ns: int) -> Claim:
        """Say what this tag brings forward."""
        is_fresh = (
            self.newest is not None
            and self.newest is not self._used
            and now_mono_ns - self.newest.t_rx_mono_ns <= FRESH_NS
        )
        is_due = self._ready_at_mono_ns is not None and self._ready_at_mono_ns <= now_mono_ns
        return Claim(
            device_id=self.device_id,
            urgency=self.urgency,
            last_linked_mono_ns=self.last_linked_mono_ns,
            linked_since_mono_ns=self.linked_since_mono_ns,
            is_connecting=self.is_connecting,
            is_ready=is_fresh and is_due,
        )

    def leave(self) -> None:
        """Give the seat back."""
        self._adapter.remove(self)
