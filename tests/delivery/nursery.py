"""One process that has imported everything, and forks publishers and subscribers: a start takes 5 ms, not 300.

    python -m tests.delivery.nursery

It takes orders on the socket that is its standard input: what to run, with what, and three descriptors for its standard
input, output and error. It answers with the process id, and ends, like all that it forked, when its parent is gone.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from rig.brokers.child import PR_SET_PDEATHSIG, spawn
from rig.netlink.namespaces import enter_namespace
from tests.delivery import reader, worker

MAIN: dict[str, Callable[[bytes], None]] = {"worker": worker.main, "reader": reader.main}

REPOSITORY = Path(__file__).parents[2]


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    main: str
    plan: str
    namespace: str | None


class Forked:
    """A child of the nursery, with the calls of ``subprocess.Popen`` that are used; its exit code is not known."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._handle: int | None = None
        with contextlib.suppress(ProcessLookupError):
            self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._look(timeout) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return 0

    def _look(self, timeout: float | None) -> int | None:
        if self._handle is not None:
            ended, _, _ = select.select([self._handle], [], [], timeout)
            if not ended:
                return None
            os.close(self._handle)
            self._handle = None
        return 0

    def send_signal(self, number: int) -> None:
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)


class Nursery:
    """The near end."""

    def __init__(self, log: Path) -> None:
        near, far = socket.socketpair()
        with far:
            command = [sys.executable, "-m", "tests.delivery.nursery"]
            self._process = spawn(command, log=log, stdin=far, cwd=REPOSITORY)
        self._socket = near

    def start(self, main: str, plan: bytes, log: Path, namespace: str | None) -> Forked:
        """Fork one, into a network namespace if one is named; its standard error is appended to ``log``."""
        their_in, our_in = os.pipe()
        our_out, their_out = os.pipe()
        with log.open("ab") as said:
            order = msgspec.json.encode(Order(main=main, plan=plan.decode(), namespace=namespace))
            socket.send_fds(self._socket, [order], [their_in, their_out, said.fileno()])
        os.close(their_in)
        os.close(their_out)
        pid = int.from_bytes(self._socket.recv(8))
        return Forked(pid, os.fdopen(our_in, "wb"), os.fdopen(our_out, "rb"))

    def close(self) -> None:
        self._socket.close()
        self._process.wait(30)


def serve() -> None:
    """Fork until the socket ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    orders = socket.socket(fileno=0)
    while True:
        data, descriptors, _, _ = socket.recv_fds(orders, 65_536, 3)
        if not data:
            return
        order = msgspec.json.decode(data, type=Order)
        pid = os.fork()
        if pid == 0:
            _become(order, descriptors)
        for each in descriptors:
            os.close(each)
        orders.sendall(pid.to_bytes(8))


def _become(order: Order, descriptors: list[int]) -> None:
    """Be that process, and do not return."""
    code = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        if order.namespace is not None:
            enter_namespace(order.namespace)
        MAIN[order.main](order.plan.encode())
        code = 0
    except BaseException:  # noqa: BLE001 - what a fork must not do is to go on as its parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
