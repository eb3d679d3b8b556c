"""Fixtures for the whole suite: system parts, the corpus of real recordings, and guards against leaks."""

import asyncio
import contextlib
import gc
import inspect
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rig.netlink.link import FAR_ADDRESS
from tests.privacy import privacy_wall as privacy_wall
from tests.support import CORPUS_HINT, PART_HINTS, Mosquitto, find_part, skip_or_fail

settings.register_profile(
    "house",
    # Two shared cores make single examples slow now and then; a deadline would flap. The seed is fixed so that a
    # red run is red again.
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")

# Each bridge of a test would take 64 MiB of disk for its ballast, and keep it as long as pytest keeps the folder.
os.environ.setdefault("TAGRIG_OUTBOX__BALLAST_MIB", "0")


@pytest.fixture(autouse=True)
def _needs_parts(request: pytest.FixtureRequest) -> None:
    for marker in request.node.iter_markers("needs"):
        for part in marker.args:
            if find_part(part) is None:
                skip_or_fail(f"{part} is not installed. Next: {PART_HINTS.get(part, 'install ' + part)}")
    if request.node.get_closest_marker("corpus") and not os.environ.get("TAGRIG_CORPUS"):
        skip_or_fail(f"there is no corpus. Next: {CORPUS_HINT}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Soak tests run only when asked for by ``-m soak``."""
    if "soak" in (config.getoption("markexpr") or ""):
        return
    keep = [item for item in items if not item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("soak")])
    items[:] = keep


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real recordings that TAGRIG_CORPUS names."""
    value = os.environ.get("TAGRIG_CORPUS", "")
    if not value:
        skip_or_fail(f"there is no corpus. Next: {CORPUS_HINT}")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"TAGRIG_CORPUS={value!r} is not a folder. Next: {CORPUS_HINT}", pytrace=False)
    return folder


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running mosquitto of the test's own; mark the test with ``@pytest.mark.needs("mosquitto")``."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def _open_descriptors() -> dict[int, str]:
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found[int(entry.name)] = str(entry.readlink())
    return found


def _held(kind: str) -> bool:
    """Descriptors that a test owns; event loops, caches and libraries keep others for the life of the process."""
    return kind.startswith(("socket:", "pipe:", "/dev/pts", "/dev/ptmx", "/dev/tty"))


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    """A test that leaves a thread, a child process or a port open fails."""
    threads = set(threading.enumerate())
    before = {fd for fd, kind in _open_descriptors().items() if _held(kind)}
    yield

    def leaked_threads() -> list[str]:
        return [t.name for t in threading.enumerate() if t not in threads and not t.daemon]

    def leaked_descriptors() -> list[str]:
        return [f"{fd} -> {kind}" for fd, kind in _open_descriptors().items() if fd not in before and _held(kind)]

    if leaked_threads() or leaked_descriptors():
        # Only then: a collection after every test would take as long as the tests once they hold large tables.
        gc.collect()
    deadline = time.monotonic() + 2.0
    while (leaked_threads() or leaked_descriptors()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not leaked_threads(), f"the test left threads behind: {leaked_threads()}"
    assert not leaked_descriptors(), f"the test left descriptors open: {leaked_descriptors()}"


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test talks to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and isinstance(address, tuple):
            host = str(address[0])
            # the bench's own network exists only inside its namespaces
            assert host in {"127.0.0.1", "::1", "localhost", FAR_ADDRESS} or host.startswith("127."), host
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    ours = asyncio.current_task()
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before if task not in {ours, asyncio.current_task()}]
    assert not left, f"the test left tasks behind: {left}"


@pytest.fixture(autouse=True)
def _tasks_end(request: pytest.FixtureRequest) -> None:
    """An async test that leaves a task behind fails."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("_no_task_left")
