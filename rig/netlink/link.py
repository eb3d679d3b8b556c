"""Two namespaces and a link between them that can be slowed, made lossy or cut while it is used."""

import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from rig.brokers.child import spawn
from rig.netlink.errors import NetlinkError
from rig.netlink.forwarder import DEVICE, Condition, Counters
from rig.netlink.namespaces import make_namespace, remove_namespace, remove_orphans, run

NEAR_ADDRESS = "10.77.0.1"
FAR_ADDRESS = "10.77.0.2"
"""Private addresses (RFC 1918) that exist only inside the two namespaces."""

ANSWER_S = 20.0
"""Time for the forwarder to start or to answer; it bounds a hang, not a busy machine."""


class TunLink:
    """A network of two hosts: ``near``, where a bridge may live, and ``far``, where a broker may.

    Parameters
    ----------
    folder : Path
        Where the forwarder's log goes.
    seed : int
        Fixes which packets are lost.
    """

    def __init__(self, folder: Path, *, seed: int = 1) -> None:
        self._folder = folder
        self._seed = seed
        self._names: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def near(self) -> str:
        """Name of the near namespace; its host is `NEAR_ADDRESS`."""
        return self._names[0]

    @property
    def far(self) -> str:
        """Name of the far namespace; its host is `FAR_ADDRESS`."""
        return self._names[1]

    def start(self) -> None:
        """Make the network.

        Raises
        ------
        NetlinkError
            The kernel or the container does not allow it.
        """
        remove_orphans()
        self._folder.mkdir(parents=True, exist_ok=True)
        for label in ("near", "far"):
            self._names.append(make_namespace(label))
        self._process = spawn(
            [sys.executable, "-m", "rig.netlink.forwarder", self.near, self.far, str(self._seed)],
            log=self._folder / "link.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._answer()
        for name, address in ((self.near, NEAR_ADDRESS), (self.far, FAR_ADDRESS)):
            run(["ip", "-n", name, "addr", "add", f"{address}/24", "dev", DEVICE])
            run(["ip", "-n", name, "link", "set", DEVICE, "up"])

    def set(self, *, delay_ms: float = 0.0, loss_pct: float = 0.0, blocked: bool = False) -> Counters:
        """Put a new condition in force; what is on its way already arrives as it would have.

        Parameters
        ----------
        delay_ms : float
            One way; a round trip takes twice that.
        loss_pct : float
            Share of packets lost, each way.
        blocked : bool
            Nothing passes, and nobody is told: a black hole.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        condition = Condition(delay_ms=delay_ms, loss_pct=loss_pct, blocked=blocked)
        self._process.stdin.write(msgspec.json.encode(condition) + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Counters:
        assert self._process is not None
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], ANSWER_S)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            said = (self._folder / "link.log").read_text(errors="replace")[-2000:]
            raise NetlinkError(f"the link's process does not answer. It said: {said}")
        return msgspec.json.decode(line, type=Counters)

    def close(self) -> None:
        """Take the network down; processes in it must have ended."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        while self._names:
            remove_namespace(self._names.pop())

    def __enter__(self) -> Self:
        """Make the network."""
        try:
            self.start()
        except NetlinkError:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the network down."""
        self.close()
