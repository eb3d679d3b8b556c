"""The network on the bench: what its conditions do to real TCP connections."""

import subprocess
import sys
import time
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

PATIENCE_S = "0.4"
OUTCOMES = {0: "connected", 1: "refused", 124: "timed out"}


@pytest.fixture(autouse=True)
def _network() -> None:
    obstacle = find_obstacle()
    if obstacle is not None:
        skip_or_fail(obstacle)


def attempt(link: TunLink) -> str:
    """Connect from the near side; the shell's own connection, for it starts in a millisecond."""
    command = ["timeout", PATIENCE_S, "bash", "-c", f"exec 3<>/dev/tcp/{FAR_ADDRESS}/{PORT}"]
    entered = ["nsenter", f"--net={NAMESPACES / link.near}", "--"]
    return OUTCOMES[subprocess.run([*entered, *command], stderr=subprocess.DEVNULL, check=False).returncode]


def test_link_delays_swallows_and_resets_connections(tmp_path: Path) -> None:
    with TunLink(tmp_path) as link:
        server = spawn(
            [sys.executable, "-c", SERVER], log=tmp_path / "s.log", namespace=link.far, stdout=subprocess.PIPE
        )
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            assert attempt(link) == "connected"
            link.set(delay_ms=40)
            began = time.monotonic()
            assert attempt(link) == "connected"
            assert time.monotonic() - began >= 0.08, "a round trip"
            before = link.set(blocked=True)
            assert attempt(link) == "timed out"
            assert link.set().dropped > before.dropped
            rules = PacketFilter(link.far)
            rules.reset(PORT)
            assert attempt(link) == "refused"
            rules.drop(PORT)
            assert attempt(link) == "timed out"
            rules.drop_share(PORT, 99)
            assert "timed out" in {attempt(link) for _ in range(2)}, "one in 100 passes"
            rules.clear()
            assert attempt(link) == "connected"
            link.set(loss_pct=100)
            assert attempt(link) == "timed out"
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
