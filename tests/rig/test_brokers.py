"""Brokers on the bench do what the faults of the acceptance suite ask of them."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rig.brokers.child import listens
from rig.brokers.errors import BrokerProcessError
from rig.brokers.mosquitto import Keeping, MosquittoBroker
from rig.brokers.nats import NatsBroker, NatsCluster
from rig.brokers.process import LOOPBACK, free_ports
from tests.support import wait_until

needs_mosquitto = pytest.mark.needs("mosquitto")


def connects(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


@needs_mosquitto
@pytest.mark.parametrize("keeping", list(Keeping))
def test_mosquitto_is_killed_and_comes_back_on_its_port(tmp_path: Path, keeping: Keeping) -> None:
    with MosquittoBroker(tmp_path, keeping=keeping) as broker:
        first = broker.pid
        assert connects(broker.port)
        broker.kill()
        assert not broker.is_running
        assert not connects(broker.port)
        broker.start()
        assert broker.pid != first
        assert connects(broker.port)
        broker.stop()
        assert not connects(broker.port)
    assert "mosquitto version" in broker.log


def test_nats_answers_its_monitor_and_not_while_it_is_paused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rig.brokers.nats.ANSWER_S", 0.2)
    with NatsBroker(tmp_path) as broker:
        wait_until(lambda: broker.ask("healthz") == {"status": "ok"}, within_s=20, what="health")
        assert "sync_interval: always" in (tmp_path / "nats.conf").read_text()
        broker.pause()
        assert broker.ask("healthz") is None
        broker.resume()
        wait_until(lambda: broker.ask("healthz") == {"status": "ok"}, within_s=20, what="health again")


def test_three_nodes_choose_one_leader(tmp_path: Path) -> None:
    with NatsCluster(tmp_path) as cluster:
        leader = cluster.meta_leader()
        assert leader in cluster.running
        assert cluster.node(leader.name) is leader
        other = next(node for node in cluster.nodes if node is not leader)
        other.kill()
        assert cluster.meta_leader() is leader, "two of three keep theirs"
        assert other not in cluster.running
        assert len({node.port for node in cluster.nodes}) == 3


@needs_mosquitto
def test_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        broker = MosquittoBroker(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(BrokerProcessError, match=r"(?s)ended .*Address already in use"):
            broker.start()
        assert not listens(os.getpid(), 1)
        assert listens(os.getpid(), broker.port), "we hold it"
    with pytest.raises(BrokerProcessError, match="does not run"):
        _ = broker.pid


@needs_mosquitto
def test_broker_does_not_outlive_the_bench(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from rig.brokers.mosquitto import MosquittoBroker\n"
        f"broker = MosquittoBroker(Path({str(tmp_path)!r})); broker.start()\n"
        "print(broker.pid, flush=True); time.sleep(60)"
    )
    bench = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert bench.stdout is not None
        pid = int(bench.stdout.readline())
    finally:
        bench.send_signal(signal.SIGKILL)
        bench.wait()
        bench.stdout.close()  # type: ignore[union-attr]
    wait_until(lambda: not Path(f"/proc/{pid}/fd").exists() or not _runs(pid), within_s=10, what="the broker's end")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_free_ports_differ() -> None:
    assert len(set(free_ports(50))) == 50
