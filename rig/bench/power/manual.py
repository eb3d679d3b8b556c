"""Power by a person, who is asked at the terminal and says when it is done."""

import asyncio
import os
import sys
from typing import Final

from rig.bench.errors import PowerError

_TERMINAL: Final = "/dev/tty"
"""The terminal of this process, whatever its standard input is: a test runner takes that one away."""


class ManualSwitch:
    """A hand. Fails at once where there is no terminal to ask at: a CI job must not wait for a person.

    Parameters
    ----------
    role : str
        Which device to switch, in the person's words.
    timeout_s : float
    terminal : str
    """

    def __init__(self, role: str, *, timeout_s: float, terminal: str = _TERMINAL) -> None:
        self._role = role
        self._timeout_s = timeout_s
        self._terminal = terminal
        self._is_on: bool | None = None

    @property
    def name(self) -> str:
        """Which switch."""
        return f"hand switch of {self._role}"

    @property
    def is_on(self) -> bool | None:
        """What was asked for last."""
        return self._is_on

    async def on(self) -> None:
        """Ask for power."""
        await self._ask("on")
        self._is_on = True

    async def off(self) -> None:
        """Ask for it to be taken away."""
        await self._ask("off")
        self._is_on = False

    async def close(self) -> None:
        """Nothing is held."""

    async def _ask(self, what: str) -> None:
        try:
            fd = os.open(self._terminal, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            raise PowerError(
                f"{self.name}: nobody can be asked: {self._terminal}: {exc.strerror}. "
                "Next: run it at a terminal, or give the bench file a switch that needs no hand"
            ) from exc
        try:
            sys.stderr.flush()
            os.write(fd, f"\ntagrig: switch {self._role} {what}, then press Enter: ".encode())
            await self._enter(fd, what)
        finally:
            os.close(fd)

    async def _enter(self, fd: int, what: str) -> None:
        loop = asyncio.get_running_loop()
        pressed: asyncio.Future[None] = loop.create_future()

        def read() -> None:
            gone = "end of input"
            try:
                data = os.read(fd, 1024)
            except BlockingIOError:
                return
            except OSError as exc:
                data, gone = b"", str(exc.strerror)
            if pressed.done():
                return
            if not data:
                pressed.set_exception(PowerError(f"{self.name}: the terminal went away: {gone}"))
            elif b"\n" in data or b"\r" in data:
                pressed.set_result(None)

        loop.add_reader(fd, read)
        try:
            async with asyncio.timeout(self._timeout_s):
                await pressed
        except TimeoutError as exc:
            raise PowerError(
                f"{self.name}: nobody said within {self._timeout_s:g} s that it is {what}. Next: raise timeout_s"
            ) from exc
        finally:
            loop.remove_reader(fd)
