"""The wearer's ankle tag as a beacon: it advertises, takes no connection, and hears nobody.

How loud it is at each listener follows from the true distance: before every advertising event each path draws what
happens to that one packet.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from devices.clock import Clock
from protocols.ble.ad import FLAGS_NO_BR_EDR, AdvertisementData, encode_ad
from protocols.ble.beacon import COMPANY_ID
from rig.ble.air import Air
from rig.ble.errors import AirMisuseError
from rig.ble.firmware.beacon import INTERVAL_S, BeaconFirmware
from rig.ble.firmware.identity import draw_private_address
from rig.ble.hci_port import HciPort
from rig.ble.path_loss import RadioPath
from rig.ble.peripheral import Peripheral
from rig.ble.tag_shell import TagShell
from rig.emulator.clock import NS_PER_S
from rig.emulator.noise import stream

_FLAGS: Final = FLAGS_NO_BR_EDR
"""Not discoverable: it is nobody's to be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where two radios are to each other: true distance, and the way both moved since power-on, metres."""

    distance_m: float
    moved_m: float


@dataclass(slots=True)
class _Path:
    listener: str
    loss: RadioPath
    where: Callable[[], Way]
    moved_m: float = 0.0


class AnkleBeacon(TagShell):
    """The beacon on the air or on a real controller.

    Parameters
    ----------
    port : Air or HciPort
    name : str
        Its name on the bench. It is never sent.
    firmware : BeaconFirmware
    clock : Clock
    interval_s : float
    seed : int
        Fixes its addresses.
    speed : float
    """

    def __init__(
        self,
        port: Air | HciPort,
        *,
        name: str,
        firmware: BeaconFirmware,
        clock: Clock,
        interval_s: float = INTERVAL_S,
        seed: int = 1,
        speed: float = 1.0,
    ) -> None:
        super().__init__(clock, speed=speed)
        self.firmware = firmware
        self._air = port if isinstance(port, Air) else None
        self._rng = stream(seed, f"beacon/{name}")
        self._slot = firmware.slot(0)
        self._paths: list[_Path] = []
        self._peripheral = Peripheral(
            port,
            name=name,
            address=draw_private_address(self._rng),
            advert=self._advert,
            interval_s=interval_s,
            connectable=False,
        )

    @property
    def peripheral(self) -> Peripheral:
        """The tag on its radio."""
        return self._peripheral

    def reach(self, listener: str, loss: RadioPath, where: Callable[[], Way]) -> None:
        """Have the path to a listener on the air follow the true distance."""
        self._paths.append(_Path(listener, loss, where))

    def _advert(self) -> tuple[bytes, bytes]:
        t_ns = self.now_ns()
        for path in self._paths:
            self._draw(path, t_ns)
        if self.firmware.slot(t_ns) != self._slot:
            return b"", b""
        data = self.firmware.advert(t_ns)
        if not data:
            return b"", b""
        return encode_ad(AdvertisementData(flags=_FLAGS, manufacturer_data={COMPANY_ID: data})), b""

    def _draw(self, path: _Path, t_ns: int) -> None:
        if self._air is None:
            return
        way = path.where()
        moved_m, path.moved_m = way.moved_m - path.moved_m, way.moved_m
        got = path.loss.receive(t_s=t_ns / NS_PER_S, distance_m=way.distance_m, moved_m=max(moved_m, 0.0))
        # a listener that was taken off the air hears nothing
        with contextlib.suppress(AirMisuseError):
            radio = self._air.between(self._peripheral.name, path.listener)
            radio.rssi_dbm = got.rssi_dbm
            radio.loss = 0.0 if got.heard else 1.0

    async def _turn(self, t_ns: int) -> int:
        slot = self.firmware.slot(t_ns)
        if slot != self._slot:
            self._slot = slot
            await self._peripheral.set_address(draw_private_address(self._rng))
        return self.firmware.slot_end_ns(t_ns)

    def _link_up(self) -> None:
        """Nobody can connect to it."""

    def _link_down(self, lost: bool) -> None:
        """Nobody was connected to it."""
