"""Runs a program of a bench file: no shell, a deadline, the end of its output where it fails."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rig.errors import RigError

_TAIL_BYTES: Final = 2000
"""Bytes of a program's output that go into a message."""
_OUTPUT_BYTES: Final = 1 << 20
"""Bytes of output that are kept; a program that prints without end must not fill our memory."""


class ProgramError(RigError, RuntimeError):
    """A program could not be started, failed, or took too long, for example ``uhubctl`` without rights."""


async def run_program(argv: Sequence[str], *, timeout_s: float, folder: Path | None = None) -> str:
    """Run a program to its end and return what it printed.

    It gets no input, and ends with everything it started when the deadline is over.

    Raises
    ------
    ProgramError
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
    except OSError as exc:
        raise ProgramError(
            f"{argv[0]!r} cannot be started: {exc.strerror}. Next: install it, or give its path"
        ) from exc
    kept = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            assert process.stdout is not None
            while data := await process.stdout.read(65_536):
                kept += data[: _OUTPUT_BYTES - len(kept)]
            code = await process.wait()
    except TimeoutError as exc:
        raise ProgramError(
            f"{_shown(argv)} did not end within {timeout_s:g} s{_tail(kept)}. Next: raise timeout_s, or run it by hand"
        ) from exc
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code != 0:
        raise ProgramError(f"{_shown(argv)} ended with exit code {code}{_tail(kept)}. Next: run it by hand")
    return kept.decode(errors="replace")


def _shown(argv: Sequence[str]) -> str:
    return repr(" ".join(argv))


def _tail(output: bytes | bytearray) -> str:
    text = bytes(output[-_TAIL_BYTES:]).decode(errors="replace").strip()
    return f"; the end of its output: {text}" if text else "; it printed nothing"
