"""Handing over between bridges: nothing lost, nothing twice, whatever moment a crash or a person chooses."""

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from bridge.config.schema import BridgeConfig, DeviceSection, OrderSection, ProtectedSection
from bridge.errors import LayoutBusyError, OutboxError
from bridge.outbox import layout as layout_module
from bridge.outbox import schema as sql
from bridge.outbox.layout import Layout, find_stores, take_home
from bridge.outbox.lock import OutboxLock
from bridge.outbox.store import FILE_NAME, OutboxStore, StoredRow, row_values
from bridge.partition import Networks, Part
from bridge.publisher import Lane, Message
from devices.clock import SystemClock
from protocols.mqtt.messages import AlertEvent
from tests.support import wait_until

CLOCK = SystemClock()
DEVICES = tuple(f"t{n}" for n in range(24))


def config(*orders: OrderSection, devices: tuple[str, ...] = DEVICES) -> BridgeConfig:
    sections = tuple(DeviceSection(id=name, transport=f"socket://127.0.0.1:{n + 1}") for n, name in enumerate(devices))
    return BridgeConfig(device=sections, order=orders)


def part(number: int, of: int) -> Part:
    return Part(number=number, of=of)


def alert(device: str, sequence: int, *, state: int = sql.NEW) -> StoredRow:
    message = Message(
        topic=f"em/v1/demo/tag/{device}/alert",
        body=f'{{"n":{sequence}}}'.encode(),
        lane=Lane.ALERT,
        properties=(("id", f"{device}-{sequence}"),),
        alert_type=AlertEvent,
        owner=device,
        event_id=f"{device}-{sequence}",
        source=f"urn:em:demo:b:tag:{device}",
        sequence=sequence,
    )
    return StoredRow(number=0, message=message, states=(state, sql.NOT_WANTED), attempts=1, t_utc_ns=sequence)


def fill(folder: Path, devices: tuple[str, ...] = DEVICES, *, each: int = 5, first: int = 1) -> None:
    """What a bridge leaves behind: alerts of its devices in turns, some sent, their numbers, its ledger."""
    folder.mkdir(parents=True, exist_ok=True)
    store = OutboxStore.open(folder / FILE_NAME)
    store.begin()
    rows = [
        alert(device, sequence, state=sql.ACKED if sequence == first else sql.NEW)
        for sequence in range(first, first + each)
        for device in devices
    ]
    start = store.last_number() + 1
    store.insert(row_values(dataclasses.replace(row, number=start + n)) for n, row in enumerate(rows))
    for device in devices:
        store.change([(sql.SET_SEQUENCE, (f"urn:em:demo:b:tag:{device}", device, first + each - 1, int(Lane.ALERT)))])
        store.change([(sql.SET_KEPT, (device, "ledger/a", device.encode()))])
    store.change([(sql.SET_KEPT, ("", "nonce/1", b"n")), (sql.SET_META, ("receipts", "1"))])
    store.commit()
    store.close()


@contextmanager
def opened(folder: Path) -> Iterator[OutboxStore]:
    store = OutboxStore.open(folder / FILE_NAME)
    try:
        yield store
    finally:
        store.close()


def contents(folders: dict[int, Path]) -> dict[str, tuple[int, list[tuple[int, tuple[int, int]]]]]:
    """By device: which bridge has it, and its alerts with their states, in the order of the file."""
    found: dict[str, tuple[int, list[tuple[int, tuple[int, int]]]]] = {}
    for number, folder in folders.items():
        with opened(folder) as store:
            for row in store.rows():
                home, rows = found.setdefault(row.message.owner, (number, []))
                assert home == number, f"{row.message.owner} is in two stores"
                assert row.message.alert_type is AlertEvent and row.message.properties
                rows.append((row.message.sequence, row.states))
            for stream in store.sequences():
                assert found[stream.owner][0] == number and stream.last == found[stream.owner][1][-1][0]
            for saved in store.kept():
                assert not saved.owner or (found[saved.owner][0] == number and saved.value == saved.owner.encode())
            assert store.meta()["receipts"] == "1"
    return found


EXPECTED = [(1, (sql.ACKED, sql.NOT_WANTED))] + [(n, (sql.NEW, sql.NOT_WANTED)) for n in range(2, 6)]


def take(base: Path, of: int, settings: BridgeConfig | None = None) -> dict[int, Path]:
    """Start and end all bridges of a layout; gives their folders."""
    folders = {}
    for number in range(1, max(1, of) + 1):
        home = take_home(base, settings or config(), part(number, of) if of else None, clock=CLOCK)
        folders[number] = home.folder
        home.close()
    return folders


def assert_whole(folders: dict[int, Path], of: int, settings: BridgeConfig | None = None) -> None:
    found = contents(folders)
    numbers = Networks(settings or config()).numbers(max(1, of))
    assert {device: home for device, (home, _) in found.items()} == {device: numbers[device] for device in DEVICES}
    assert all(rows == EXPECTED for _, rows in found.values())


def test_one_bridge_has_its_store_in_the_folder_itself(tmp_path: Path) -> None:
    home = take_home(tmp_path / "outbox", config(), None, clock=CLOCK)
    assert home.folder == tmp_path / "outbox" and home.moved is None
    home.close()
    home.close()


def test_everything_goes_along_from_one_to_four_to_five_to_one(tmp_path: Path) -> None:
    base = tmp_path / "outbox"
    fill(base)
    assert find_stores(tmp_path / "none") == ()
    for of in (4, 5, 2, 0, 3):
        folders = take(base, of)
        assert_whole(folders, of)
        assert find_stores(base) == tuple(folders.values())
        for folder in folders.values():
            with opened(folder) as store:
                assert any(saved.key == "nonce/1" for saved in store.kept())
    assert not (base / FILE_NAME).exists()
    assert [folder.name for folder in base.glob("g*")] == ["g5"]


def test_the_first_that_starts_moves_and_the_others_find_it_done(tmp_path: Path) -> None:
    fill(tmp_path)
    first = take_home(tmp_path, config(), part(3, 4), clock=CLOCK)
    second = take_home(tmp_path, config(), part(1, 4), clock=CLOCK)
    assert first.moved is not None and first.moved.rows == 5 * len(DEVICES)
    assert first.moved.devices == len(DEVICES) and 0 < first.moved.changed_hands < len(DEVICES)
    assert second.moved is None
    first.close()
    second.close()


RUNNING = """
import sys, time
from pathlib import Path
from bridge.config.schema import BridgeConfig, DeviceSection
from bridge.outbox.layout import take_home
from bridge.outbox.lock import OutboxLock
from bridge.partition import Part
from devices.clock import SystemClock
base, number, of, names = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(",")
devices = tuple(DeviceSection(id=name, transport=name) for name in names)
part = Part(number=number, of=of) if of else None
home = take_home(base, BridgeConfig(device=devices), part, clock=SystemClock())
lock = OutboxLock(home.folder)
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def running(base: Path, number: int, of: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds its part as a bridge does."""
    child = subprocess.Popen(
        [sys.executable, "-c", RUNNING, str(base), str(number), str(of), ",".join(DEVICES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait(10)
        assert child.stdin is not None and child.stdout is not None
        child.stdin.close()
        child.stdout.close()


def test_one_that_comes_to_move_when_another_has_moved_and_runs_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_module, "WAIT_FOR_OTHERS_S", 0.05)
    running = take_home(tmp_path, config(), part(2, 2), clock=CLOCK)
    seen = iter([Layout(of=0, generation=0)])
    read = layout_module._read
    # what it read before the other one moved
    monkeypatch.setattr(layout_module, "_read", lambda base: next(seen, None) or read(base))
    home = take_home(tmp_path, config(), part(1, 2), clock=CLOCK)
    assert (home.folder, home.moved) == (tmp_path / "g1" / "1of2", None)
    home.close()
    running.close()


def test_nothing_is_moved_while_an_old_bridge_runs_and_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_module, "WAIT_FOR_OTHERS_S", 0.1)
    fill(tmp_path)
    take(tmp_path, 2)
    with running(tmp_path, 2, 2) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        with pytest.raises(LayoutBusyError, match=rf"2 bridges.*to 3.*process {child.pid}\b.*stop all bridges"):
            take_home(tmp_path, config(), part(1, 3), clock=CLOCK)
        again = take_home(tmp_path, config(), part(1, 2), clock=CLOCK)
        again.close()
    assert_whole(take(tmp_path, 3), 3)


def test_a_start_waits_for_a_move_that_goes_on(tmp_path: Path) -> None:
    fill(tmp_path)
    mover = layout_module._lock(tmp_path, layout_module.fcntl.LOCK_EX, CLOCK, 1.0)
    homes = []
    starting = threading.Thread(target=lambda: homes.append(take_home(tmp_path, config(), part(2, 4), clock=CLOCK)))
    starting.start()
    # It must have had the time to look; how long it looks is its own affair.
    assert not homes and starting.is_alive()
    os.close(mover)
    starting.join(30)
    assert homes and homes[0].folder.name == "2of4"
    homes[0].close()


@pytest.mark.parametrize("kills", [4, pytest.param(60, marks=pytest.mark.soak)])
def test_a_move_that_is_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, kills: int) -> None:
    fill(tmp_path, each=5)
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    chance = random.Random(seed)
    of = 0
    for _ in range(kills):
        wanted = chance.choice([n for n in (0, 2, 3, 4, 5) if n != of])
        moved = tmp_path / f"g{_generation(tmp_path) + 1}"
        with running(tmp_path, 1, wanted) as child:
            wait_until(lambda moved=moved: moved.exists(), within_s=30, what="the move")  # type: ignore[misc]
            time.sleep(chance.uniform(0.0, 0.03))  # any moment of the move; none of them is waited for
            child.send_signal(signal.SIGKILL)
            child.wait(10)
        of = _read_of(tmp_path)
        folders = {n: _layout(tmp_path).folder(tmp_path, n) for n in _layout(tmp_path).numbers}
        assert_whole(folders, of)
    assert_whole(take(tmp_path, 4), 4)


def _layout(base: Path) -> Layout:
    return layout_module._read(base)


def _generation(base: Path) -> int:
    return _layout(base).generation


def _read_of(base: Path) -> int:
    return _layout(base).of


def test_what_an_ended_move_left_behind_is_tidied_by_the_next_start(tmp_path: Path) -> None:
    fill(tmp_path)
    folders = take(tmp_path, 2)
    # As if the process had died between the one moment that counts and the tidying.
    fill(tmp_path)
    fill(tmp_path / "g0" / "1of9")
    take(tmp_path, 2)
    assert not (tmp_path / FILE_NAME).exists() and not (tmp_path / "g0").exists()
    assert_whole(folders, 2)


def test_a_new_device_moves_nobody_and_stops_nobody(tmp_path: Path) -> None:
    take(tmp_path, 3)
    staying = take_home(tmp_path, config(), part(1, 3), clock=CLOCK)
    joined = take_home(tmp_path, config(devices=(*DEVICES, "new-1", "new-2")), part(2, 3), clock=CLOCK)
    assert joined.moved is None
    staying.close()
    joined.close()


def test_an_order_that_joins_two_devices_moves_one_of_them_with_its_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_module, "WAIT_FOR_OTHERS_S", 0.1)
    fill(tmp_path)
    folders = take(tmp_path, 4)
    numbers = Networks(config()).numbers(4)
    far = next(device for device in DEVICES if numbers[device] != numbers["t0"])
    joined = config(OrderSection(id="o", wearer="t0", protected=(ProtectedSection(device=far),)))
    staying = take_home(tmp_path, config(), part(2, 4), clock=CLOCK)
    with pytest.raises(LayoutBusyError):
        take_home(tmp_path, joined, part(1, 4), clock=CLOCK)
    staying.close()
    moved = take(tmp_path, 4, joined)
    assert moved != folders
    assert_whole(moved, 4, joined)


def test_orders_that_the_provider_loaded_keep_their_people_together(tmp_path: Path) -> None:
    fill(tmp_path)
    numbers = Networks(config()).numbers(5)
    far = next(device for device in DEVICES if numbers[device] != numbers["t0"])
    order = {"id": "o", "version": 1, "wearer": "t0", "protected": [{"device": far, "contact_m": 50}]}
    with opened(tmp_path) as store:
        store.begin()
        store.change([(sql.SET_KEPT, ("t0", "order/o", msgspec.json.encode(order)))])
        store.commit()
    home = take_home(tmp_path, config(), part(1, 5), clock=CLOCK)
    home.close()
    assert home.ties == (tuple(sorted(("t0", far))),)
    folders = take(tmp_path, 5)
    owners = {number: _owners(folder) for number, folder in folders.items()}
    assert any({"t0", far} <= found for found in owners.values())


def _owners(folder: Path) -> frozenset[str]:
    with opened(folder) as store:
        return store.owners()


def test_a_lost_or_broken_layout_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    fill(tmp_path)
    folders = take(tmp_path, 2)
    saved = (tmp_path / "layout.json").read_bytes()
    (tmp_path / "layout.json").unlink()
    with pytest.raises(OutboxError, match=r'is missing, and stores stand in g1.*"generation":1'):
        take_home(tmp_path, config(), part(1, 3), clock=CLOCK)
    (tmp_path / "layout.json").write_bytes(b'{"of":2')
    with pytest.raises(OutboxError, match="cannot be read"):
        take_home(tmp_path, config(), part(1, 2), clock=CLOCK)
    (tmp_path / "layout.json").write_bytes(b'{"of":2,"generation":7}')
    with pytest.raises(OutboxError, match="names g7, which is not there"):
        take_home(tmp_path, config(), part(1, 2), clock=CLOCK)
    (tmp_path / "layout.json").write_bytes(saved)
    assert_whole(folders, 2)


def test_a_bridge_that_knows_of_no_layout_stops_the_move_too(tmp_path: Path) -> None:
    fill(tmp_path)
    lock = OutboxLock(tmp_path)
    with pytest.raises(OutboxError, match=rf"process {os.getpid()}"):
        take_home(tmp_path, config(), part(1, 2), clock=CLOCK)
    lock.release()
    assert_whole(take(tmp_path, 2), 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts a small file system")
def test_a_disk_without_room_for_the_copy_leaves_everything_as_it_was(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        fill(small / "outbox")
        with (small / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, shutil.disk_usage(small).free - 150_000)
        with pytest.raises(OutboxError, match=r"full|room"):
            take_home(small / "outbox", config(), part(1, 4), clock=CLOCK)
        (small / "filler").unlink()
        assert_whole(take(small / "outbox", 4), 4)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_million_messages_move_in_bounded_memory(tmp_path: Path) -> None:
    devices = tuple(f"t{n}" for n in range(10_000))
    fill(tmp_path, devices, each=100)
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom bridge.config.schema import *\n"
        "from bridge.outbox.layout import take_home\nfrom bridge.partition import Part\n"
        "from devices.clock import SystemClock\n"
        "config = BridgeConfig(device=tuple(DeviceSection(id=f't{n}', transport=str(n)) for n in range(10_000)))\n"
        "began = time.monotonic()\nhome = take_home(Path(sys.argv[1]), config, Part(number=1, of=4), "
        "clock=SystemClock())\npeak = Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]\n"
        "print(home.moved.rows, time.monotonic() - began, peak)"
    )
    told = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True, text=True)
    rows, seconds, rss_kib = told.stdout.split()
    print(f"{rows} messages in {float(seconds):.1f} s, {int(rss_kib) / 1024:.0f} MiB")  # noqa: T201 - shown with -s
    assert int(rows) == 1_000_000
    assert int(rss_kib) < 400 * 1024
