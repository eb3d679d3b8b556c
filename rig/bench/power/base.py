"""The one interface of a power switch, and a power cycle that ends when the device's port is there again."""

from collections.abc import Callable
from typing import Final, Protocol

from devices.clock import Clock
from rig.bench.errors import PowerError

_LOOK_NS: Final = 20_000_000
"""ns between two looks whether a port is there. Enumeration of a USB device takes 100 ms and more."""
_GONE_S: Final = 5.0
"""s. How long after the switch a port may still be there: hubs with large capacitors feed on for a second or two."""


class PowerSwitch(Protocol):
    """Switches one device. Every implementation passes ``tests/conformance/test_power.py``.

    ``off`` and ``on`` return when the switch has switched; each may be called in any state, and twice.
    """

    @property
    def name(self) -> str:
        """Which switch; names it in every message."""
        ...

    @property
    def is_on(self) -> bool | None:
        """What was asked for last; None before."""
        ...

    async def on(self) -> None:
        """Give power.

        Raises
        ------
        PowerError
            It did not switch; the message says what to look at.
        """
        ...

    async def off(self) -> None:
        """Take power away. Raises as ``on``."""
        ...

    async def close(self) -> None:
        """Let go of the switch. Safe to call twice. Never raises."""
        ...


async def power_cycle(
    switch: PowerSwitch,
    clock: Clock,
    *,
    is_there: Callable[[], bool],
    off_s: float,
    ready_s: float,
    port_vanishes: bool,
) -> float:
    """Switch off, wait, switch on, and wait until the device's port is there again.

    Parameters
    ----------
    switch, clock
    is_there : callable
        Whether the port can be seen.
    off_s : float
        How long the device is without power: its capacitors must run empty, or it never notices.
    ready_s : float
        Deadline from the switching on.
    port_vanishes : bool
        Whether the port goes with the power. Then it must have gone before the device is switched on, or the old port
        would be taken for the new one.

    Returns
    -------
    float
        Seconds from the switching on until the port was there.

    Raises
    ------
    PowerError
        The switch failed, the port stayed, or it did not come back.
    """
    await switch.off()
    off_ns = clock.mono_ns()
    if port_vanishes and not await _wait(clock, lambda: not is_there(), _GONE_S):
        await switch.on()
        raise PowerError(
            f"{switch.name}: {_GONE_S:g} s after it was switched off the port is still there. "
            "Next: check that the switch feeds this device and nothing else does"
        )
    await clock.sleep_until(off_ns + round(off_s * 1e9))
    await switch.on()
    on_ns = clock.mono_ns()
    if not await _wait(clock, is_there, ready_s):
        raise PowerError(
            f"{switch.name}: the port did not come back within {ready_s:g} s of power. "
            "Next: tagrig scan lists what is there; raise ready_s where the device boots slowly"
        )
    return (clock.mono_ns() - on_ns) / 1e9


async def _wait(clock: Clock, is_met: Callable[[], bool], within_s: float) -> bool:
    deadline_ns = clock.mono_ns() + round(within_s * 1e9)
    while not is_met():
        now_ns = clock.mono_ns()
        if now_ns >= deadline_ns:
            return False
        await clock.sleep_until(min(now_ns + _LOOK_NS, deadline_ns))
    return True
