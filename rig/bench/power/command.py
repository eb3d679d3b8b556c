"""Power by programs: a relay card's tool, ``uhubctl``, ``snmpset``, ``curl`` to a plug."""

from collections.abc import Mapping, Sequence

from rig.bench.errors import PowerError
from rig.bench.programs import ProgramError, run_program


class CommandSwitch:
    """A switch behind two commands.

    Parameters
    ----------
    on, off : sequence of str
        Program and arguments, with fields such as ``{port}``; no shell.
    fields : mapping
    timeout_s : float
    """

    def __init__(self, on: Sequence[str], off: Sequence[str], *, fields: Mapping[str, str], timeout_s: float) -> None:
        self._on = [part.format_map(dict(fields)) for part in on]
        self._off = [part.format_map(dict(fields)) for part in off]
        self._timeout_s = timeout_s
        self._is_on: bool | None = None

    @property
    def name(self) -> str:
        """Which switch."""
        return f"command {self._on[0]}"

    @property
    def is_on(self) -> bool | None:
        """What was asked for last."""
        return self._is_on

    async def on(self) -> None:
        """Give power."""
        await self._run(self._on)
        self._is_on = True

    async def off(self) -> None:
        """Take power away."""
        await self._run(self._off)
        self._is_on = False

    async def close(self) -> None:
        """Nothing is held."""

    async def _run(self, argv: Sequence[str]) -> None:
        try:
            await run_program(argv, timeout_s=self._timeout_s)
        except ProgramError as exc:
            raise PowerError(f"{self.name}: {exc}") from exc
