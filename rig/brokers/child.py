"""Child processes in a session of their own that cannot outlive their parent."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1

NAMESPACES = Path("/run/netns")
"""Where ``ip netns add`` puts its names."""


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    namespace: str | None = None,
    stdin: int | IO[bytes] | socket.socket = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process; the kernel kills it when the calling thread ends, however that happens.

    Parameters
    ----------
    log : Path
        Its standard error is appended here, and its standard output too if ``stdout`` is None.
    namespace : str, optional
        Name of the network namespace that it lives in; the process id stays the program's own.
    environment : mapping, optional
        Added to ours.
    """
    entered = () if namespace is None else ("nsenter", f"--net={NAMESPACES / namespace}", "--")
    with log.open("ab") as written:
        return subprocess.Popen(
            [*entered, *command],
            stdin=stdin.fileno() if isinstance(stdin, socket.socket) else stdin,
            stdout=written if stdout is None else stdout,
            stderr=written,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),
        )


def listens(pid: int, port: int) -> bool:
    """Whether this very process listens on a TCP port, seen from its own network namespace.

    A connection attempt would also succeed against a stranger that holds the port.
    """
    ours = set()
    try:
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                ours.add(str(each.readlink()))
        tables = [Path(f"/proc/{pid}/net/{table}").read_text() for table in ("tcp", "tcp6")]
    except OSError:
        return False
    for line in (line for table in tables for line in table.splitlines()[1:]):
        fields = line.split()
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port and f"socket:[{fields[9]}]" in ours:
            return True
    return False


def is_stopped(pid: int) -> bool:
    """Whether all threads of a process are stopped: the kernel stops each one at its next step."""
    try:
        stats = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return False
    return bool(stats) and all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


_LISTEN = "0A"
"""State of a listening socket in ``/proc/net/tcp`` (the kernel's ``TCP_LISTEN``, 10)."""


def _die_with(parent: int) -> Callable[[], None]:
    """Ask the kernel, in the child, to kill it when its parent is gone."""
    libc = ctypes.CDLL(None, use_errno=True)

    def arm() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os.kill(os.getpid(), signal.SIGKILL)

    return arm
