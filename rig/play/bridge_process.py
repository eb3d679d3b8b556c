"""The bridge of a run as a process: started, killed, paused, and listened to."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rig.errors import BenchBrokenError
from rig.faults.host import pause_process, resume_process

STOP_S: Final = 20.0
"""Seconds in which the bridge ends when it is asked to: it delivers what waits, for ten at most."""

READY_S: Final = 30.0
"""Seconds until it is ready; two on an idle machine."""

LONGEST_LINE: Final = 1 << 20
"""Longest line of its own words, bytes; beyond it is broken."""

LOG_FILE: Final = "bridge.log"
_LOG_TAIL_LINES: Final = 12


class BridgeProcess:
    """``tagrig bridge`` with one configuration.

    Parameters
    ----------
    config : Path
        In the run folder, where its log goes, too.
    environment : mapping
        Beside this process's own.
    on_ready : callable
    on_link : callable
        Given device and state.
    """

    def __init__(
        self,
        config: Path,
        environment: Mapping[str, str],
        *,
        on_ready: Callable[[], None],
        on_link: Callable[[str, str], None],
    ) -> None:
        self._config = config
        self._environment = {**os.environ, **environment}
        self._on_ready = on_ready
        self._on_link = on_link
        self._ready = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._is_meant_to_run = False

    @property
    def log(self) -> Path:
        """What it says on standard error."""
        return self._config.parent / LOG_FILE

    async def start(self) -> None:
        """Start it, and return once it is ready.

        Raises
        ------
        BenchBrokenError
            It ended, or is not ready in time.
        """
        self._ready.clear()
        with self.log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                # asks the kernel to end the bridge with us, then becomes it
                *("-m", "rig.demo.launch", str(os.getpid())),
                *("-m", "rig.demo.verb", "bridge", "--config", str(self._config), "--json"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=self._environment,
                start_new_session=True,
                limit=LONGEST_LINE,
            )
        self._is_meant_to_run = True
        self._reading = asyncio.create_task(self._read(self._process), name="the bridge's words")
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({waiting, self._reading}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
        is_ready = waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if not is_ready:
            raise BenchBrokenError(f"the bridge is not ready within {READY_S:g} s. {self._tail()}")

    async def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self._is_meant_to_run = False
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        await self._wait()

    async def stop(self) -> None:
        """End it in order; killed where it takes too long.

        Raises
        ------
        BenchBrokenError
            It had ended by itself, did not end in order, or lost messages.
        """
        process = self._process
        if process is None:
            return
        was_running = process.returncode is None
        self._is_meant_to_run = False
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            # a paused process gets its SIGTERM only once it goes on
            process.send_signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(STOP_S):
                await self._wait()
        except TimeoutError:
            await self.kill()
            raise BenchBrokenError(f"the bridge did not end within {STOP_S:g} s. {self._tail()}") from None
        if was_running and process.returncode:
            raise BenchBrokenError(f"the bridge ended with exit code {process.returncode}. {self._tail()}")

    async def pause(self) -> None:
        """SIGSTOP; it is so on return."""
        if self._process is not None:
            await asyncio.to_thread(pause_process, self._process.pid)

    async def resume(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            resume_process(self._process.pid)

    async def ended(self) -> None:
        """Return once it has ended though nobody asked it to.

        Raises
        ------
        BenchBrokenError
            Always then.
        """
        while True:
            reading = self._reading
            if reading is not None:
                await asyncio.wait({reading})
            if self._is_meant_to_run and self._reading is reading:
                raise BenchBrokenError(f"the bridge ended by itself. {self._tail()}")
            # it was killed, and may be started again
            await asyncio.sleep(0.05)

    async def _wait(self) -> None:
        if self._process is not None:
            await self._process.wait()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                word = json.loads(line)
                match word.get("event"):
                    case "ready":
                        self._ready.set()
                        self._on_ready()
                    case "link":
                        self._on_link(word["device"], word["state"])

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return f"The end of {self.log}:" + "".join(f"\n    {line}" for line in lines or ["(it is empty)"])
