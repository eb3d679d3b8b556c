"""Child processes of the bench: each in a session of its own, and none outlives us, however we end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from rig.errors import BenchBrokenError

_TERM_WAIT_S: Final = 5.0
"""Time for a child to end in order, seconds: a bridge delivers what waits before it leaves."""

_LOG_TAIL_LINES: Final = 12
"""Lines of a dead child's log that go into the error message."""


class Child:
    """One running child. Its standard output is ours to read, its errors go to a log file.

    Attributes
    ----------
    name : str
        For messages.
    stdout, stdin : file
        Bytes, unbuffered.
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        try:
            with log.open("ab") as errors:
                # the launcher asks the kernel to end the child with us, then becomes the child
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "rig.demo.launch", str(os.getpid()), *argv],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**os.environ, **env},
                    start_new_session=True,
                    bufsize=0,
                )
        except OSError as exc:
            raise BenchBrokenError(f"the {name} process cannot be started with {sys.executable}: {exc}") from exc
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.stdout: IO[bytes] = self.process.stdout
        self.stdin: IO[bytes] = self.process.stdin

    def send_line(self, text: str) -> None:
        """Write one line to the child's standard input."""
        try:
            self.stdin.write(text.encode() + b"\n")
        except BrokenPipeError as exc:
            raise BenchBrokenError(self.obituary()) from exc

    def obituary(self) -> str:
        """Say how it died."""
        code = self.process.poll()
        how = "does not listen any more" if code is None else f"ended with exit code {code}"
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        tail = "".join(f"\n    {line}" for line in lines) or "\n    (its log is empty)"
        return f"the {self.name} process {how}. The end of {self.log}:{tail}"

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the child and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Children:
    """All children of a run; leaving the context ends them in the reverse order of their start."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def start(self, name: str, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Child:
        """Start one more; ``argv`` is a Python command line after the interpreter, ``env`` comes on top of ours."""
        child = Child(name, argv, log, env or {})
        self._children.append(child)
        return child

    def find(self, name: str) -> Child:
        """Return the child of a name; ``StopIteration`` cannot happen to one that was started."""
        return next(child for child in self._children if child.name == name)

    def kill(self, name: str) -> None:
        """End one at once and on purpose, with everything it started; it is forgotten, its pipes are closed."""
        child = self.find(name)
        self._children.remove(child)
        _end(child)

    def check(self) -> None:
        """Raise where one has died.

        Raises
        ------
        BenchBrokenError
            Which, with the end of its log.
        """
        for child in self._children:
            if child.process.poll() is not None:
                raise BenchBrokenError(child.obituary())

    def close(self) -> None:
        """End all that still run: asked first, then killed, with everything they started."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.terminate()
            deadline = time.monotonic() + _TERM_WAIT_S
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=max(0.0, deadline - time.monotonic()))
            _end(child)
        self._children.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _end(child: Child) -> None:
    child.signal_group(signal.SIGKILL)
    child.process.wait()
    child.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
