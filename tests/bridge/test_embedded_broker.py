"""The broker that a bridge starts for itself: private, on loopback, and never left behind."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bridge import embedded_guard
from bridge.embedded_broker import FOLDER_PREFIX, EmbeddedBroker, Engine
from bridge.errors import BrokerStartError
from devices.clock import SystemClock
from tests.bridge.support import subscriber
from tests.support import LOOPBACK, wait_until

ENGINES = ["nats", pytest.param("mosquitto", marks=pytest.mark.needs("mosquitto"))]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("engine", ENGINES)
def test_listens_on_loopback_only_and_leaves_nothing_behind(engine: Engine) -> None:
    broker = EmbeddedBroker(engine)
    broker.start()
    try:
        store, pid = broker._store, broker.pid
        assert store is not None
        assert pid is not None
        assert stat.S_IMODE(store.stat().st_mode) == 0o700
        listening = {c.laddr.ip for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN}
        assert listening == {LOOPBACK}
        assert os.getsid(pid) == pid, "a session of its own: Ctrl-C at the terminal must not reach it before the flush"
        with subscriber(LOOPBACK, broker.port):
            pass
    finally:
        broker.stop()
    assert is_gone(pid)
    assert not store.exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_restarts_on_the_same_port_with_the_same_store(engine: Engine, tmp_path: Path) -> None:
    broker = EmbeddedBroker(engine, tmp_path / "store")
    broker.start()
    try:
        port = broker.port
        pid = broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: is_gone(pid), within_s=5, what="end of the broker")
        broker.restart()
        assert broker.port == port
        assert broker._store == tmp_path / "store"
        with subscriber(LOOPBACK, port):
            pass
    finally:
        broker.stop()
    assert (tmp_path / "store").exists(), "a folder that was named is kept"


@pytest.mark.needs("mosquitto")
async def test_broker_whose_port_is_taken_is_tried_again_without_stopping_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The guard of a running bridge: warn, back off, go on; the store of the first run is used again."""
    monkeypatch.setattr(embedded_guard, "RESTART_FIRST_S", 0.05)
    told: list[str] = []
    broker = EmbeddedBroker("mosquitto")
    broker.start()
    guard = asyncio.create_task(embedded_guard.guard(broker, SystemClock(), told.append))
    try:
        port, store, pid = broker.port, broker._store, broker.pid
        assert store is not None
        assert pid is not None
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: is_gone(pid), within_s=5, what="end of the broker")
        with socket.create_server((LOOPBACK, port)):
            async with asyncio.timeout(20):
                while not any("attempt 2" in each for each in told):  # noqa: ASYNC110 - a condition, with a deadline
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(20):
            while broker._port is None:  # noqa: ASYNC110 - a condition, with a deadline
                await asyncio.sleep(0.01)
        assert (broker.port, broker._store) == (port, store)
        assert not guard.done()
    finally:
        guard.cancel()
        await asyncio.gather(guard, return_exceptions=True)
        broker.stop()
    assert not store.exists()
    with pytest.raises(BrokerStartError, match="was stopped"):
        broker.restart()


def test_dies_with_its_parent_even_by_kill_9() -> None:
    code = (
        "import time\nfrom bridge.embedded_broker import EmbeddedBroker\n"
        "b = EmbeddedBroker()\nb.start()\nprint(b.pid, b._store, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, store = parent.stdout.readline().split()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: is_gone(int(pid)), within_s=5, what="end of the orphan")
    # The next start of any bridge removes what the killed one could not.
    assert FOLDER_PREFIX in store
    broker = EmbeddedBroker()
    broker.start()
    broker.stop()
    assert not Path(store).exists()


def test_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("NATS_SERVER", "/nowhere/nats-server")
    with pytest.raises(BrokerStartError, match="NATS_SERVER='/nowhere/nats-server' is not a program"):
        EmbeddedBroker().start()
    assert not list(tmp_path.iterdir()), "no folder is left behind"


def test_program_that_ends_at_once_is_told_with_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "nats-server"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo nats-server: v2.14.3 && exit\necho out of luck >&2\nexit 7\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("NATS_SERVER", str(fake))
    with pytest.raises(BrokerStartError, match=r"ended at once.*out of luck"):
        EmbeddedBroker().start()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("nats-server: v2.14.2", r"is v2\.14\.2; expected v2\.14\.3 or later, older ones pass by their access lists"),
        ("nats-server: v2.9.25", r"is v2\.9\.25; expected v2\.14\.3"),
        ("nats-server: v2.14.3-RC.1", r"is v2\.14\.3-RC\.1; expected v2\.14\.3"),
        ("mosquitto version 2.0.11", r"is no nats-server: its --version says 'mosquitto version 2\.0\.11'"),
    ],
)
def test_a_nats_server_that_passes_by_its_access_lists_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, expected: str
) -> None:
    fake = tmp_path / "nats-server"
    fake.write_text(f"#!/bin/sh\necho '{said}'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("NATS_SERVER", str(fake))
    with pytest.raises(BrokerStartError, match=expected):
        EmbeddedBroker().start()
