"""Power by a modem line: a relay board, or the reset pin of a development board."""

import asyncio

from devices.errors import TransportError
from devices.modem_lines import ModemLine, ModemLines
from rig.bench.errors import PowerError


class SerialLineSwitch:
    """A line of a port that is held open: at closing, most drivers drop it.

    Parameters
    ----------
    port : str
        A path, or ``rfc2217://host:port``.
    line : ModemLine
    on_is_high : bool
        The level at which the device has power.
    """

    def __init__(self, port: str, line: ModemLine, *, on_is_high: bool) -> None:
        self._port = port
        self._line = line
        self._on_is_high = on_is_high
        self._lines = ModemLines(port)
        self._is_on: bool | None = None

    @property
    def name(self) -> str:
        """Which switch."""
        return f"{self._line.value.upper()} of {self._port}"

    @property
    def is_on(self) -> bool | None:
        """What was asked for last."""
        return self._is_on

    async def on(self) -> None:
        """Give power."""
        await self._set(power=True)

    async def off(self) -> None:
        """Take power away."""
        await self._set(power=False)

    async def close(self) -> None:
        """Let the port go."""
        await asyncio.to_thread(self._lines.close)

    async def _set(self, *, power: bool) -> None:
        try:
            await asyncio.to_thread(self._lines.set, self._line, high=power == self._on_is_high)
        except TransportError as exc:
            raise PowerError(f"{self.name}: {exc}") from exc
        self._is_on = power
