"""What tests share that is not a fixture: system parts, ports, waiting, a real broker."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PART_HINTS = {
    "mosquitto": "apt install mosquitto",
    "mosquitto_passwd": "apt install mosquitto",
    "chromium": "apt install chromium",
    "openssl": "apt install openssl",
    "bluetoothctl": "apt install bluez",
    "dbus-daemon": "apt install dbus-daemon",
    "ip": "apt install iproute2",
    "nft": "apt install nftables",
    "nsenter": "apt install util-linux",
    "strace": "apt install strace",
    "fiu-run": "apt install fiu-utils",
    "faketime": "apt install faketime",
}
"""Where each system part comes from; a test names the part with ``@pytest.mark.needs``."""

CORPUS_HINT = "set TAGRIG_CORPUS to the folder of real recordings (see tests/README.md)"
LOOPBACK = "127.0.0.1"
FULL = os.environ.get("TAGRIG_TESTS") == "full"
"""Whether the long tests take all their points, as in ``make soak``; otherwise a share of them."""


def find_part(name: str) -> str | None:
    """Path of a system part; daemons stand in sbin, which is not on every user's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def skip_or_fail(reason: str) -> None:
    """Skip where a part is optional; fail where TAGRIG_REQUIRE_PARTS=1 says that all of them must be there."""
    if os.environ.get("TAGRIG_REQUIRE_PARTS") == "1":
        pytest.fail(f"TAGRIG_REQUIRE_PARTS=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def wait_until(condition: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Wait for a condition against a deadline on the monotonic clock; fail with what was awaited."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {within_s} s")
        time.sleep(0.005)


class Mosquitto:
    """A real broker on loopback that tests may stop, kill and start again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.host = LOOPBACK
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        user = "user root\n" if os.geteuid() == 0 else ""
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} {self.host}\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n"
            f"persistence true\npersistence_location {folder}/\nautosave_interval 1\nautosave_on_changes true\n{user}"
        )

    @property
    def url(self) -> str:
        """Where a bridge or a subscriber connects."""
        return f"mqtt://{self.host}:{self.port}"

    def start(self) -> None:
        """Start the broker and return once it accepts connections."""
        executable = find_part("mosquitto")
        assert executable is not None
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [executable, "-c", str(self._folder / "mosquitto.conf")],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._accepts, within_s=10, what=f"mosquitto listening on {self.port}")

    def _accepts(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"mosquitto ended: {(self._folder / 'mosquitto.log').read_text()}")
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=0.2):
            return True
        return False

    def stop(self) -> None:
        """End the broker in order."""
        self._end(lambda process: process.terminate())

    def kill(self) -> None:
        """End the broker as a power cut would."""
        self._end(lambda process: process.kill())

    def _end(self, signal: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self._process is not None:
            signal(self._process)
            self._process.wait(timeout=10)
            self._process = None
