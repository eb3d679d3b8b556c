"""Power of an emulated tag that stands for hardware: its process and its port are there while it has power."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from rig.bench.errors import PowerError

_READY_S: Final = 20.0
"""s. From the start of the process to its port; half a second on an idle machine."""
_END_S: Final = 5.0
"""s. From the request to end until it is killed: a power cut asks nobody, but its log is written to the end."""


class _Word(msgspec.Struct):
    event: str = ""


class EmulatedSwitch:
    """``tagrig emulate ankle`` on a port: switched on it starts and its port appears, switched off both are gone.

    Parameters
    ----------
    link : Path
        What stands for the port's stable name.
    args : sequence of str
        More options of the verb.
    """

    def __init__(self, link: Path, args: Sequence[str] = ()) -> None:
        self._link = link
        self._args = tuple(args)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_on: bool | None = None

    @property
    def name(self) -> str:
        """Which switch."""
        return f"emulated power of {self._link}"

    @property
    def is_on(self) -> bool | None:
        """What was asked for last."""
        return self._is_on

    async def on(self) -> None:
        """Start the tag and wait for its port."""
        if self._process is None or self._process.poll() is not None:
            await asyncio.to_thread(self._drop)
            # in this very thread: the kernel ends the tag with the thread that started it, and a worker's ends soon
            self._start()
        self._is_on = True

    async def off(self) -> None:
        """End the tag."""
        await asyncio.to_thread(self._drop)
        self._is_on = False

    async def close(self) -> None:
        """End the tag with the bench."""
        await asyncio.to_thread(self._drop)

    def _start(self) -> None:
        # the launcher asks the kernel to end the tag with us, however we end
        argv = [sys.executable, "-m", "rig.demo.launch", str(os.getpid()), "-m", "rig.demo.verb", "emulate", "ankle"]
        argv += ["--json", "--link", str(self._link), *self._args]
        log = self._link.with_name(f"{self._link.name}.log")
        try:
            with log.open("ab") as errors:
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                    bufsize=0,
                )
        except OSError as exc:
            raise PowerError(f"{self.name}: the emulated tag cannot be started: {exc}") from exc
        if self._first_event() != "ready":
            self._drop()
            tail = log.read_text(errors="replace")[-500:].strip()
            raise PowerError(
                f"{self.name}: the emulated tag did not come up: {tail or 'it said nothing'}. Next: see {log}"
            )

    def _first_event(self) -> str:
        """Read the tag's first word. The process is ended by a timer where it says none: a read has no deadline."""
        assert self._process is not None
        assert self._process.stdout is not None
        guard = threading.Timer(_READY_S, self._process.kill)
        guard.start()
        try:
            line = self._process.stdout.readline()
        finally:
            guard.cancel()
            guard.join()
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(line, type=_Word).event
        return ""

    def _drop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_END_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        with contextlib.suppress(FileNotFoundError):
            # a killed tag cannot take its link away; without power there is no port
            self._link.unlink()
