"""A broker as a process that faults can be done to."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rig.brokers.child import is_stopped, listens, spawn
from rig.brokers.errors import BrokerProcessError

LOOPBACK = "127.0.0.1"

START_S = 20.0
"""From start to the listening socket; 0.02 to 0.1 s measured. It bounds a hang, not a busy machine."""

STOP_S = 20.0
"""From SIGTERM to the end: the store is flushed meanwhile."""

_LOOK_S = 0.01


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """TCP ports that nobody listens on, all different: their probes are held at the same time."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]


def find_program(name: str) -> str | None:
    """Path of a program; daemons stand in sbin, which is not on every user's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


class BrokerProcess:
    """A broker that can be killed, paused and started again, always with the same ports and store.

    Parameters
    ----------
    name : str
        For messages and for the name of its log.
    command : sequence of str
    folder : Path
        Where its log goes.
    host : str
        Where clients reach it.
    port : int
        Its MQTT listener.
    namespace : str, optional
        Network namespace that it runs in.
    """

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, *, host: str, port: int, namespace: str | None = None
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.namespace = namespace
        self.log_path = folder / f"{name}.log"
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id while it runs.

        Raises
        ------
        BrokerProcessError
            It does not run.
        """
        if self._process is None:
            raise BrokerProcessError(f"{self.name} does not run. Next: start it first")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended; a paused one runs."""
        return self._process is not None

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self) -> None:
        """Start it and return once it listens.

        Raises
        ------
        BrokerProcessError
            It runs already, ended at once, or does not listen in time.
        """
        self.launch()
        self.wait_listening()

    def launch(self) -> None:
        """Start it without waiting: nodes of a cluster are started together."""
        if self._process is not None:
            raise BrokerProcessError(f"{self.name} runs already as process {self._process.pid}")
        self._process = spawn(self._command, log=self.log_path, namespace=self.namespace)

    def wait_listening(self) -> None:
        """Return once it listens; see `start`."""
        deadline = time.monotonic() + START_S
        while not listens(self.pid, self.port):
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                code = self._process.poll()
                self.kill()
                what = f"did not listen on {self.port} within {START_S:g} s" if code is None else f"ended ({code})"
                raise BrokerProcessError(f"{self.name} {what}. It said: {self.log[-2000:]}")
            time.sleep(_LOOK_S)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL); harmless if it does not run."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order (SIGTERM); harmless if it does not run."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Take its processor time (SIGSTOP): connections stay open and nobody answers. It is so on return.

        Raises
        ------
        BrokerProcessError
            It does not run, or did not stop in time.
        """
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_S
        while not is_stopped(self.pid):
            if time.monotonic() > deadline:
                raise BrokerProcessError(f"{self.name} did not stop within {STOP_S:g} s")
            time.sleep(_LOOK_S)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        # A paused process gets its SIGTERM only once it goes on.
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.kill()
