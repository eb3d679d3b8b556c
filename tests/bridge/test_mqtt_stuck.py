"""A connection whose TCP waits although the way is open again, on a real link between two hosts."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from bridge.mqtt.stuck import STUCK_BACKOFF, StuckWatch
from devices.clock import SystemClock
from rig.netlink.link import FAR_ADDRESS, TunLink
from rig.netlink.namespaces import enter_namespace, find_obstacle
from tests.support import skip_or_fail, wait_until

PORT = 1883
_ResultT = TypeVar("_ResultT")


@pytest.fixture
def link(tmp_path: Path) -> Iterator[TunLink]:
    obstacle = find_obstacle()
    if obstacle is not None:
        skip_or_fail(obstacle)
    with TunLink(tmp_path) as made:
        yield made


def inside(namespace: str, do: Callable[[], _ResultT]) -> _ResultT:
    """Run something in a network namespace: a thread lives in one, and its sockets stay there."""
    found: list[_ResultT] = []

    def run() -> None:
        enter_namespace(namespace)
        found.append(do())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_a_way_that_is_open_again_is_noticed_while_tcp_still_waits(link: TunLink) -> None:
    server = inside(link.far, lambda: socket.create_server((FAR_ADDRESS, PORT)))
    link.set(delay_ms=2)
    watch = StuckWatch(SystemClock())

    def look(sock: socket.socket) -> bool:
        return inside(link.near, lambda: watch.is_open_again(sock))

    with server, inside(link.near, lambda: socket.create_connection((FAR_ADDRESS, PORT))) as sock:
        peer, _ = server.accept()
        with peer:
            sock.sendall(b"heard")
            assert peer.recv(9) == b"heard"
            assert watch.find_due_mono_ns(sock) is None
            assert not look(sock)

            # Nothing gets through: TCP's wait doubles, and nobody lets us in.
            link.set(delay_ms=2, blocked=True)
            sock.sendall(b"waits")
            wait_until(lambda: watch.find_due_mono_ns(sock) is not None, within_s=20, what=f"{STUCK_BACKOFF} doublings")
            end_s = time.monotonic() + 1.0
            while time.monotonic() < end_s:
                assert not look(sock)

            link.set(delay_ms=2)
            wait_until(lambda: look(sock), within_s=20, what="the way is open again")
            peer.settimeout(20)
            assert peer.recv(9) == b"waits", "in the end TCP gets there too"
            wait_until(lambda: watch.find_due_mono_ns(sock) is None, within_s=20, what="its wait is over")
    watch.close()


def test_a_peer_that_reads_nothing_is_not_a_way_that_is_closed(link: TunLink) -> None:
    server = inside(link.far, lambda: socket.create_server((FAR_ADDRESS, PORT)))
    with server, inside(link.near, lambda: socket.create_connection((FAR_ADDRESS, PORT))) as sock:
        watch = StuckWatch(SystemClock())
        sock.sendall(b"not read")
        end_s = time.monotonic() + 0.8
        while time.monotonic() < end_s:
            assert not watch.is_open_again(sock)
            assert watch.find_due_mono_ns(sock) is None


def test_where_there_is_no_connection_there_is_nothing_to_watch() -> None:
    watch = StuckWatch(SystemClock())
    sock = socket.socket()
    sock.close()
    for each in (None, sock):
        assert not watch.is_open_again(each)
        assert watch.find_due_mono_ns(each) is None
