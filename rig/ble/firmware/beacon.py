"""What the wearer's ankle tag advertises: a rolling id, a counter, its strap and battery. No I/O, no clock.

Nothing of the protected person is in it: the tag knows neither that she exists nor what she carries.
"""

from dataclasses import dataclass
from typing import Final

from protocols.ble.beacon import SLOT_NS, encode_beacon, slot_of
from rig.ble.firmware.identity import SlotCounter
from rig.emulator.noise import stream

INTERVAL_S: Final = 0.25
"""Seconds between advertisements (a): four a second give the smart tag its three within a second of coming into range,
at a cost of some 30 microamperes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconConfig:
    """How the beacon is set up: its order's key, and the tag's clock at power-on."""

    seed: int = 1
    start_utc_ns: int
    key: bytes


class BeaconFirmware:
    """The beacon.

    Attributes
    ----------
    strap_open : bool
    battery_pct : int
        What the ankle tag's sensors say.
    is_powered : bool
        Whether the tag has power; without it nothing is sent.
    events : int
        Advertising events so far.
    """

    def __init__(self, config: BeaconConfig) -> None:
        self._config = config
        self._counter = SlotCounter(stream(config.seed, "beacon"))
        self.strap_open = False
        self.battery_pct = 83
        self.is_powered = True
        self.events = 0

    def slot(self, t_ns: int) -> int:
        """Return the slot of rolling ids at a time."""
        return slot_of(self._config.start_utc_ns + t_ns)

    def slot_end_ns(self, t_ns: int) -> int:
        """Return the tag time at which the slot of a time ends."""
        return (self.slot(t_ns) + 1) * SLOT_NS - self._config.start_utc_ns

    def advert(self, t_ns: int) -> bytes:
        """Return the manufacturer data of the next advertising event; empty: it is silent."""
        if not self.is_powered:
            return b""
        self.events += 1
        slot, counter = self._counter.next(self.slot(t_ns))
        return encode_beacon(
            self._config.key,
            slot=slot,
            counter=counter,
            strap_open=self.strap_open,
            battery_pct=self.battery_pct,
        )
