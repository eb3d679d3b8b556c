"""What a tag is to strangers: an address and a counter that mean nothing beyond their slot."""

import random
from typing import Final

_FIRST_COUNTERS: Final = 1 << 31
"""Counters begin anywhere below this: no slot is long enough to reach 2^32 from there."""


class SlotCounter:
    """Counts advertising events; begins at random in every slot, and never goes back to an earlier one."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._slot: int | None = None
        self._counter = 0

    def begin(self) -> None:
        """Begin anew in whatever slot comes next: there is a new key."""
        self._slot = None

    def restart(self) -> None:
        """Begin anew in the same slot: the tag has started again and has kept the number of its slot only."""
        self._counter = self._rng.randrange(_FIRST_COUNTERS)

    def next(self, slot: int) -> tuple[int, int]:
        """Count one event; returns the slot it belongs to, and its number."""
        if self._slot is None or slot > self._slot:
            self._slot, self._counter = slot, self._rng.randrange(_FIRST_COUNTERS)
        else:
            self._counter += 1
        return self._slot, self._counter


def draw_private_address(rng: random.Random) -> str:
    """Draw an address in the form of a resolvable private one, from a key that nobody has: it links to nothing.

    The two highest bits are ``01`` (Core 5.4 Vol 6 Part B 1.3.2.2).
    """
    octets = bytearray(rng.randbytes(6))
    octets[0] = octets[0] & 0x3F | 0x40
    return ":".join(f"{octet:02X}" for octet in octets)
