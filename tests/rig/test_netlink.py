"""The network on the bench: what its conditions do to real TCP connections."""

import subprocess
import sys
from pathlib import Path

import pytest

from rig.brokers.child import NAMESPACES, spawn
from rig.netlink.errors import NetlinkError
from rig.netlink.filters import PacketFilter
from rig.netlink.link import FAR_ADDRESS, TunLink
from rig.netlink.namespaces import PREFIX, find_obstacle, make_namespace, remove_orphans, run
from tests.support import skip_or_fail, wait_until

PORT = 1883

SERVER = f"""
import socket
with socket.create_server(({FAR_ADDRESS!r}, {PORT})) as server:
    print("ready", flush=True)
    while True:
        client, _ = server.accept()
        client.sendall(b"hello"); client.close()
"""

CLIENT = f"""
import socket, time
began = time.monotonic()
try:
    with socket.create_connection(({FAR_ADDRESS!r}, {PORT}), timeout=0.4) as s:
        s.recv(5); print("connected", round((time.monotonic() - began) * 1e3))
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture(autouse=True)
def _network() -> None:
    obstacle = find_obstacle()
    if obstacle is not None:
        skip_or_fail(obstacle)


def attempt(link: TunLink) -> str:
    return run([sys.executable, "-c", CLIENT], namespace=link.near).strip()


def test_link_delays_swallows_and_resets_connections(tmp_path: Path) -> None:
    with TunLink(tmp_path) as link:
        server = spawn(
            [sys.executable, "-c", SERVER], log=tmp_path / "s.log", namespace=link.far, stdout=subprocess.PIPE
        )
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            assert attempt(link).startswith("connected")
            link.set(delay_ms=40)
            word, took_ms = attempt(link).split()
            assert word == "connected"
            assert int(took_ms) >= 160, "two round trips of 80 ms"
            before = link.set(blocked=True)
            assert attempt(link) == "TimeoutError"
            assert link.set().dropped > before.dropped
            rules = PacketFilter(link.far)
            rules.reset(PORT)
            assert attempt(link) == "ConnectionRefusedError"
            rules.drop(PORT)
            assert attempt(link) == "TimeoutError"
            rules.drop_share(PORT, 99)
            assert "TimeoutError" in {attempt(link) for _ in range(2)}, "one in 100 passes"
            rules.clear()
            assert attempt(link).startswith("connected")
            link.set(loss_pct=100)
            assert attempt(link) == "TimeoutError"
        finally:
            server.kill()
            server.wait()
            server.stdout.close()  # type: ignore[union-attr]
        names = (link.near, link.far)
    assert not any((NAMESPACES / name).exists() for name in names)


def test_namespace_of_a_killed_bench_is_removed() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    name = f"{PREFIX}{ended.pid}-1-near"
    run(["ip", "netns", "add", name])
    ours = make_namespace("own")
    try:
        remove_orphans()
        assert not (NAMESPACES / name).exists()
        assert (NAMESPACES / ours).exists()
    finally:
        run(["ip", "netns", "del", ours])
    with pytest.raises(NetlinkError, match="failed"):
        run(["ip", "netns", "del", ours])
    wait_until(lambda: not (NAMESPACES / ours).exists(), within_s=5, what="its end")
