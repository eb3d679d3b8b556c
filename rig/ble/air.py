"""The air between tags and adapters: who hears whom, how loud, how late, and what gets lost.

One `Air` carries every controller of a bench. Adverts go to those that listen and to nobody else, so a hundred tags
cost a hundred times one tag and not ten thousand times.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, cast

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

from rig.ble.errors import AirMisuseError

if TYPE_CHECKING:
    from rig.ble.controllers import AirController, TimedAdvertiser

ESTABLISH_EVENTS: Final = 6
"""Connection events within which the peer must answer, or the link is given up with error 0x3E.
Source: Core 5.4, volume 6, part B, section 4.5.2."""

CONNECTION_UNIT_S: Final = 0.00125
"""Unit of a connection interval, seconds (Core 5.4, volume 4, part E, section 7.8.12)."""

SUPERVISION_S: Final = 0.42
"""Silence after which a link is given up, seconds. Source: Linux's default for connections it makes
(``hdev->le_supv_timeout`` 0x002a in units of 10 ms). Longer hides losses from a driver for longer."""

RSSI_MIN_DBM: Final = -127
RSSI_MAX_DBM: Final = 20
"""Range of RSSI in an advertising report, dBm (Core 5.4, volume 4, part E, section 7.7.65.2)."""


SURELY_HEARD_DBM: Final = -80
SURELY_LOST_DBM: Final = -98
"""Between them the share of faded adverts that get lost rises from none to all, dBm: receivers of this kind (a)."""


class Radio:
    """How one tag's signal fares on its way. Every attribute may be changed while the bench runs.

    Attributes
    ----------
    rssi_dbm : float
        Mean of what a listener measures.
    rssi_sigma_db : float
        Standard deviation of single adverts around it.
    loss : float
        Probability, 0 to 1, that a listener misses an advert; of a scan response likewise.
    connect_loss : float
        Probability that a connection request is not heard by the tag: the adapter then believes for six connection
        intervals to be connected.
    fade_db : float
        Taken from every advert of the tag, whoever hears it; below the sensitivity of a receiver it is lost.
    copies : int
        How often each advert is heard.
    acl_delay_s : float
        Delay of each packet on a connection, one way: about the connection interval of a real link.
    out_of_range : bool
        Nothing gets through. Links end after the supervision timeout, or go on where they were if it ends sooner.
    """

    def __init__(
        self,
        *,
        rssi_dbm: float = -60.0,
        rssi_sigma_db: float = 0.0,
        loss: float = 0.0,
        connect_loss: float = 0.0,
        acl_delay_s: float = 0.0,
        out_of_range: bool = False,
    ) -> None:
        self.rssi_dbm = rssi_dbm
        self.rssi_sigma_db = rssi_sigma_db
        self.loss = loss
        self.connect_loss = connect_loss
        self.fade_db = 0.0
        self.copies = 1
        self.acl_delay_s = acl_delay_s
        self._out_of_range = out_of_range
        self._watchers: list[Callable[[], None]] = []

    @property
    def out_of_range(self) -> bool:
        """Whether nothing gets through."""
        return self._out_of_range

    @out_of_range.setter
    def out_of_range(self, value: bool) -> None:
        self._out_of_range = value
        for watcher in self._watchers:
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have `watcher` called whenever the range may have changed."""
        self._watchers.append(watcher)


class _Way:
    """One direction of one connection: packets in order, each not before its time."""

    def __init__(self, is_open: Callable[[], bool]) -> None:
        self._is_open = is_open
        self._queue: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.Handle | None = None

    def send(self, deliver: Callable[[], None], delay_s: float) -> None:
        due = asyncio.get_running_loop().time() + delay_s
        if self._queue:
            due = max(due, self._queue[-1][0])
        self._queue.append((due, deliver))
        self.arm()

    def arm(self) -> None:
        if self._timer is None and self._queue and self._is_open():
            loop = asyncio.get_running_loop()
            due = self._queue[0][0]
            self._timer = loop.call_soon(self._pump) if due <= loop.time() else loop.call_at(due, self._pump)

    def _pump(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._queue and self._queue[0][0] <= now and self._is_open():
            self._queue.popleft()[1]()
        self.arm()

    def close(self) -> None:
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Air(LocalLink):
    """The medium that all emulated controllers share.

    Parameters
    ----------
    seed : int
        Fixes every random draw: losses, RSSI, the jitter of adverts.
    """

    def __init__(self, seed: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rng = random.Random(seed)
        self._named: dict[str, AirController] = {}
        self._owner: dict[hci.Address, AirController] = {}
        # in the order they began to listen: a set's order, and with it every draw, would differ from run to run
        self._listeners: dict[AirController, None] = {}
        self._between: dict[frozenset[str], Radio] = {}
        self._ways: dict[tuple[hci.Address, hci.Address], _Way] = {}
        self._silences: dict[int, asyncio.TimerHandle] = {}

    # --- who is there -------------------------------------------------------------------------------------------

    def add_controller(self, controller: Controller) -> None:
        """Put a controller on the air; its name must be its own."""
        if controller.name in self._named:
            raise AirMisuseError(f"two controllers are named {controller.name!r}. Next: give each tag its own name")
        ours = cast("AirController", controller)
        self._named[controller.name] = ours
        super().add_controller(controller)
        ours.radio.watch(self._range_changed)

    def remove_controller(self, controller: Controller) -> None:
        """Take a controller off the air; its links end at the peers by supervision timeout, at once."""
        ours = cast("AirController", controller)
        self.cut(ours.name)
        super().remove_controller(controller)
        self._listeners.pop(ours, None)
        del self._named[ours.name]
        self._owner = {address: owner for address, owner in self._owner.items() if owner is not ours}

    def radio(self, name: str) -> Radio:
        """Give the radio of the tag of that name."""
        return self._find(name).radio

    def between(self, one: str, other: str) -> Radio:
        """Give the radio that counts between these two only, made like the first one's where there is none yet."""
        pair = frozenset({self._find(one).name, self._find(other).name})
        if pair not in self._between:
            like = self._find(one).radio
            made = Radio(
                rssi_dbm=like.rssi_dbm,
                rssi_sigma_db=like.rssi_sigma_db,
                loss=like.loss,
                connect_loss=like.connect_loss,
                acl_delay_s=like.acl_delay_s,
                out_of_range=like.out_of_range,
            )
            made.watch(self._range_changed)
            self._between[pair] = made
        return self._between[pair]

    def _find(self, name: str) -> "AirController":
        if name not in self._named:
            raise AirMisuseError(f"there is no {name!r} on the air, but {sorted(self._named)}")
        return self._named[name]

    def _path(self, sender: "AirController", receiver: "AirController") -> Radio:
        if self._between and (found := self._between.get(frozenset({sender.name, receiver.name}))) is not None:
            return found
        return receiver.radio if sender.is_adapter else sender.radio

    def on_address_changed(self, controller: Controller) -> None:
        """Note a controller's new random address; links keep the address they were made with."""
        ours = cast("AirController", controller)
        held = {link.self_address for link in ours.le_connections.values()}
        self._owner = {a: owner for a, owner in self._owner.items() if owner is not ours or a in held}
        self._owner[ours.random_address] = ours

    def find_le_controller(self, address: hci.Address) -> Controller | None:
        """Find the controller that answers to an address."""
        found = self._owner.get(address)
        return found if found is not None else super().find_le_controller(address)

    def _find_ours(self, address: hci.Address) -> "AirController | None":
        return cast("AirController | None", self.find_le_controller(address))

    # --- adverts ------------------------------------------------------------------------------------------------

    def listen(self, controller: "AirController", on: bool) -> None:
        """Say whether a controller listens for adverts."""
        if on:
            self._listeners[controller] = None
        else:
            self._listeners.pop(controller, None)

    def heard(self, sender: "AirController", receiver: "AirController") -> int | None:
        """Draw what one listener measures of one packet, dBm; None where it is lost."""
        path = self._path(sender, receiver)
        if path.out_of_range or (path.loss and self.rng.random() < path.loss):
            return None
        rssi_dbm = self.rng.gauss(path.rssi_dbm, path.rssi_sigma_db) if path.rssi_sigma_db else path.rssi_dbm
        if sender.radio.fade_db:
            rssi_dbm -= sender.radio.fade_db
            span_db = SURELY_HEARD_DBM - SURELY_LOST_DBM
            if self.rng.random() < (SURELY_HEARD_DBM - rssi_dbm) / span_db:
                return None
        return max(RSSI_MIN_DBM, min(RSSI_MAX_DBM, round(rssi_dbm)))

    def advertise(self, sender: "AirController", advertiser: "TimedAdvertiser") -> None:
        """Carry one advertising event to everybody who listens and hears it."""
        loop = asyncio.get_running_loop()
        for receiver in list(self._listeners):
            if receiver is not sender and (rssi_dbm := self.heard(sender, receiver)) is not None:
                for _ in range(sender.radio.copies):
                    loop.call_soon(receiver.on_air_advert, sender, advertiser.snapshot(), rssi_dbm)

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        """Carry a connection request to its tag; an unheard one fails at the sender as on a real link."""
        assert isinstance(packet, ll.ConnectInd), "adverts go by advertise()"
        asyncio.get_running_loop().call_soon(self._request, cast("AirController", sender_controller), packet)

    def _request(self, sender: "AirController", packet: ll.ConnectInd) -> None:
        target = self._find_ours(packet.advertiser_address)
        if target is not None:
            path = self._path(sender, target)
            if not path.out_of_range and not (path.connect_loss and self.rng.random() < path.connect_loss):
                target.on_ll_advertising_pdu(packet)
                if packet.initiator_address in target.le_connections:
                    return
        link = sender.le_connections.get(packet.advertiser_address)
        if link is not None:
            wait_s = ESTABLISH_EVENTS * packet.interval * CONNECTION_UNIT_S
            self._silences[id(link)] = asyncio.get_running_loop().call_later(
                wait_s, self._end, sender, link, hci.HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR
            )

    # --- links --------------------------------------------------------------------------------------------------

    def _carry(self, source: hci.Address, target: hci.Address, deliver: Callable[["AirController"], None]) -> None:
        sender, receiver = self._find_ours(source), self._find_ours(target)
        if sender is None or receiver is None:
            return
        way = self._ways.get((source, target))
        if way is None:
            way = self._ways[source, target] = _Way(lambda: not self._path(sender, receiver).out_of_range)
        way.send(lambda: deliver(receiver), self._path(sender, receiver).acl_delay_s)

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        """Carry a data packet of a link."""
        link = sender_controller.le_connections.get(destination_address)
        if link is not None:
            source = link.self_address
            self._carry(source, destination_address, lambda peer: peer.on_link_acl_data(source, transport, data))

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        """Carry a control packet of a link, in order with its data; a peer that is gone gets none."""
        self._carry(sender_address, receiver_address, lambda peer: peer.on_ll_control_pdu(sender_address, packet))

    def link_ended(self, controller: "AirController", link: Connection) -> None:
        """Forget what was under way to the end that has given up its link."""
        if (way := self._ways.pop((link.peer_address, link.self_address), None)) is not None:
            way.close()
        if (silence := self._silences.pop(id(link), None)) is not None:
            silence.cancel()
        if link.self_address != controller.random_address and self._owner.get(link.self_address) is controller:
            del self._owner[link.self_address]

    def cut(self, name: str, reason: int = hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR) -> None:
        """End every link of a controller at both ends at once, as after a supervision timeout."""
        for controller, link, peer in list(self._links()):
            if name in {controller.name, peer.name if peer else None}:
                self._end(controller, link, reason)

    def _links(self) -> Iterator[tuple["AirController", Connection, "AirController | None"]]:
        for controller in self._named.values():
            for link in controller.le_connections.values():
                yield controller, link, self._find_ours(link.peer_address)

    def _range_changed(self) -> None:
        loop = asyncio.get_running_loop()
        for controller, link, peer in self._links():
            lost = peer is not None and self._path(controller, peer).out_of_range
            timed = id(link) in self._silences
            if lost and not timed:
                self._silences[id(link)] = loop.call_later(
                    SUPERVISION_S, self._end, controller, link, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR
                )
            elif timed and not lost:
                self._silences.pop(id(link)).cancel()
        for way in self._ways.values():
            way.arm()

    def _end(self, controller: "AirController", link: Connection, reason: int) -> None:
        self._silences.pop(id(link), None)
        if controller.le_connections.get(link.peer_address) is link:
            controller.on_le_disconnected(link, reason)

    def close(self) -> None:
        """Stop every timer; for when the bench ends."""
        for timer in self._silences.values():
            timer.cancel()
        self._silences.clear()
        for way in self._ways.values():
            way.close()
        self._ways.clear()
