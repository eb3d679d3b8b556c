"""Clauses 6 and 7: a disk that is full or fails, a clock that jumps."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.brokers.mosquitto import Keeping, MosquittoBroker
from tests.delivery.course import Course
from tests.delivery.worker import Job
from tests.support import find_part, skip_or_fail

pytestmark = pytest.mark.needs("mosquitto")

DAY_S = 86_400


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    with MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as broker:
        yield f"{broker.host}:{broker.port}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode != 0:
        skip_or_fail(f"no tmpfs can be mounted ({done.stderr.strip()}); it needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_clause_6_full_disk_stops_no_alert(course: Course, endpoint: str, small_disk: Path) -> None:
    course.read(endpoint)
    life = course.publish(endpoint, outbox=str(small_disk / "outbox"))
    life.submit(Job(count=100, rate_hz=500))
    assert life.wait_sent()["durable"]
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            pass
    life.submit(Job(count=300, rate_hz=1500))
    full = life.wait_for("word of the full disk", lambda s: s["disk_trouble"] is not None and not s["durable"])
    life.wait_sent()
    filler.unlink()
    life.submit(Job(count=50, rate_hz=100))
    life.wait_for("the disk again", lambda s: s["durable"] and s["disk_trouble"] is None)
    life.submit(Job(count=50, rate_hz=500))
    life.wait_sent()
    life.end()
    last = course.publish(endpoint, Job(count=20), outbox=str(small_disk / "outbox"))
    assert last.close()["left"] == 0
    verdict = course.verdict().check()
    assert verdict.confirmed == 520
    assert not all(kept.durable for kept in course.confirmed()), "what was not on disk was said to be not"
    assert not all(each.durable for each in course.reader.heard), "and the provider was told"
    assert "begins" in "".join(each for each in full["happened"] if each.startswith("disk"))


@pytest.mark.parametrize(
    ("point", "share", "number"),
    [
        ("posix/io/sync/*", 0.2, errno.EIO),
        pytest.param("posix/io/rw/pwrite*", 0.05, errno.ENOSPC, marks=pytest.mark.soak),
        pytest.param("posix/io/rw/pwrite*", 0.05, errno.EIO, marks=pytest.mark.soak),
    ],
)
def test_clause_6_errors_of_the_disk_stop_no_alert(
    course: Course, endpoint: str, tmp_path: Path, point: str, share: float, number: int
) -> None:
    if find_part("fiu-run") is None:
        skip_or_fail("fiu-run is not installed. Next: apt install fiu-utils")
    course.read(endpoint)
    door = str(tmp_path / "fiu")
    life = course.publish(endpoint, wrapped=("fiu-run", "-x", "-f", door))

    def control(command: str) -> None:
        subprocess.run(["fiu-ctrl", "-f", door, "-c", command, str(life.process.pid)], check=True)

    life.submit(Job(count=50, rate_hz=1000))
    assert life.wait_sent()["durable"]
    control(f"enable_random name={point},probability={share},failinfo={number}")
    life.submit(Job(count=400, rate_hz=800))
    stats = life.wait_sent()
    assert any(each.startswith("disk ") for each in stats["happened"])
    control(f"disable name={point}")
    life.submit(Job(count=20, rate_hz=100))
    life.wait_for("the disk again", lambda s: s["durable"] and s["disk_trouble"] is None and not s["jobs"])
    life.end()
    last = course.publish(endpoint, Job(count=20))
    assert last.close()["left"] == 0
    assert course.verdict().check().confirmed == 490


def test_clause_7_clock_jumps_by_ten_days_in_mid_run(course: Course, endpoint: str, tmp_path: Path) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        skip_or_fail("libfaketime is not installed. Next: apt install faketime")
    said = tmp_path / "clock"
    said.write_text("+0\n")
    course.read(endpoint)
    life = course.publish(
        endpoint,
        environment={
            # The wrapper of the same name would fix the offset for the whole run.
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(said),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
    )
    for days in (0, 10, -10):
        said.write_text(f"{days * DAY_S:+d}\n")
        life.submit(Job(count=40, rate_hz=500))
        life.wait_for("the end of the job", lambda s: not s["jobs"])
    life.wait_sent()
    life.end()
    # The next life finds rows of other times, with the machine's own clock again.
    last = course.publish(endpoint, Job(count=40, rate_hz=500))
    assert last.close()["left"] == 0
    verdict = course.verdict().check()
    assert verdict.confirmed == 160
    # The first five of an id's characters are its time in steps of nine hours.
    assert len({each.event_id[:5] for each in course.reader.heard}) >= 3, "ids of three times: the clock did jump"
