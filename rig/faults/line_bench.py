"""The smallest bench: byte lines and a clock, for a device that somebody else reads."""

from collections.abc import Mapping

from devices.clock import Clock
from rig.faults.entry import Pace
from rig.faults.line import LineFaults


class LineBench:
    """A `rig.faults.port.FaultBench` that has lines and nothing else.

    Parameters
    ----------
    lines : mapping
        Faults of each line by its device.
    clock : Clock
    """

    pace = Pace.REAL
    air = broker = clock = bridge = disk = None

    def __init__(self, lines: Mapping[str, LineFaults], clock: Clock) -> None:
        self._lines = lines
        self._clock = clock

    def mono_ns(self) -> int:
        """Give the time that lines go by."""
        return self._clock.mono_ns()

    async def sleep_until(self, mono_ns: int) -> None:
        """Return once that time has come."""
        await self._clock.sleep_until(mono_ns)

    def plays_events(self, device: str) -> bool:
        """Say no: the devices are real."""
        return False

    def find_line(self, device: str) -> LineFaults | None:
        """Give a line's faults."""
        return self._lines.get(device)

    def find_radio(self, device: str) -> str | None:
        """Say that nothing is on the air."""
        return None
