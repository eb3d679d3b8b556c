"""Worker processes and Dask: the same bytes as without, also when workers are killed in mid-run; never a hang."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import geofence_core as gc
from rig.backtest import index
from rig.backtest.chunks import Cut
from rig.backtest.columns import ColumnRules
from rig.backtest.dask_engine import DaskCluster
from rig.backtest.engines import ATTEMPTS, Processes
from rig.backtest.errors import JudgeLostError
from rig.backtest.judge import Rules
from rig.backtest.run import Progress, Settings, run_backtest
from tests.rig.backtest_support import Cluster, random_history, random_zones, run, write_csv, zones_file

ROOT = Path(__file__).parents[2]
TAGRIG = "from rig.cli.backtest import command; command(prog_name='tagrig backtest')"
CHUNK = 40


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Zones, and some 1,500 fixes of interleaved devices."""
    folder = tmp_path_factory.mktemp("history")
    rng = np.random.default_rng(21)
    zones = zones_file(folder / "z.geojson", random_zones(rng, 10))
    return zones, write_csv(folder / "h.csv", random_history(rng, 8, 190))


@pytest.fixture(scope="module")
def expected(history: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return run(history[0], [history[1]], tmp_path_factory.mktemp("expected"))[1]


def outputs_of(folder: Path) -> dict[str, Path]:
    return {name: folder / f"{name}.csv" for name in ("crossings", "dwell", "totals")}


def run_watched(
    history: tuple[Path, Path], folder: Path, on_progress: Callable[[Progress], None], **settings: object
) -> dict[str, bytes]:
    paths = outputs_of(folder)
    columns = ColumnRules(names={}, time_unit=None, timed=True)
    zones = gc.ZoneTable.from_geojson(history[0])
    run_backtest(
        zones, Settings(inputs=[history[1]], columns=columns, chunk_fixes=CHUNK, **settings, **paths), on_progress
    )
    return {name: path.read_bytes() for name, path in paths.items()}


def children(pid: int) -> list[int]:
    """Processes of a backtest whose parent is ``pid``; other tests may have left helpers of the interpreter there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                mine = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid
                if mine and b"rig.backtest" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"waited {limit_s} s for {what}"
        time.sleep(0.01)


class TestProcesses:
    @pytest.mark.parametrize(("jobs", "size"), [(2, 37), (2, 100_000), (3, 400)])
    def test_the_same_bytes(
        self, history: tuple[Path, Path], expected: dict[str, bytes], tmp_path: Path, jobs: int, size: int
    ) -> None:
        assert run(history[0], [history[1]], tmp_path, jobs=jobs, chunk_fixes=size)[1] == expected

    def test_workers_killed_in_mid_run_change_nothing(
        self, history: tuple[Path, Path], expected: dict[str, bytes], tmp_path: Path
    ) -> None:
        killed: list[int] = []

        def kill(progress: Progress) -> None:
            if progress.fixes_done > 200 * (1 + len(killed)) and len(killed) < 2:
                worker = children(os.getpid())[0]
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

        assert run_watched(history, tmp_path, kill, jobs=2) == expected
        assert len(set(killed)) == 2

    def test_a_chunk_that_kills_its_workers_ends_the_run(self, history: tuple[Path, Path], tmp_path: Path) -> None:
        zones = gc.ZoneTable.from_geojson(history[0])
        path = index.make(zones, tmp_path, lambda _: None)
        path.write_bytes(path.read_bytes()[:-100])
        with (
            Processes(path, Rules(max_gap_ns=None), 2) as engine,
            pytest.raises(JudgeLostError, match=rf"chunk [01] was given to {ATTEMPTS} workers; .*exit code 1"),
        ):
            list(engine.judge(iter(_cuts(history, tmp_path)), lambda: None))
        assert children(os.getpid()) == []

    def test_a_run_that_lost_its_workers_exits_with_3_and_leaves_no_file(
        self, history: tuple[Path, Path], tmp_path: Path
    ) -> None:
        process = start_run(history, tmp_path, "--jobs", "2", "--chunk-fixes", "1")
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            for worker in children(process.pid):
                with contextlib.suppress(OSError):
                    os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 3, errors
        assert f"was given to {ATTEMPTS} workers; the last one: it was killed by signal 9" in errors
        assert "Traceback" not in errors
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_an_interrupted_run_ends_with_its_workers_and_leaves_no_file(
        self, history: tuple[Path, Path], tmp_path: Path, number: signal.Signals
    ) -> None:
        process = start_run(history, tmp_path, "--jobs", "2", "--chunk-fixes", "1")
        wait_until(lambda: len(children(process.pid)) == 2, "two workers")
        workers = children(process.pid)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130, errors
        assert "interrupted; no output was written" in errors
        assert "Traceback" not in errors
        assert list(tmp_path.iterdir()) == []
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers' end")

    def test_workers_end_when_the_run_is_killed(self, history: tuple[Path, Path], tmp_path: Path) -> None:
        process = start_run(history, tmp_path, "--jobs", "2", "--chunk-fixes", "1")
        wait_until(lambda: len(children(process.pid)) == 2, "two workers")
        workers = children(process.pid)
        process.kill()
        process.communicate(timeout=20)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers' end")


def _cuts(history: tuple[Path, Path], folder: Path) -> list[Cut]:
    from rig.backtest.chunks import Chunker
    from rig.backtest.fixes import DeviceNames, Tally
    from rig.backtest.sequence import Sequencer
    from rig.backtest.sources import open_sources

    tally = Tally()
    (source,) = open_sources(
        [history[1]], None, ColumnRules(names={}, time_unit=None, timed=True), DeviceNames(), tally
    )
    ordered = Sequencer(1000, tally, str).run(source.batches(1))
    return list(Chunker(CHUNK, tally, str).run(ordered))


def start_run(history: tuple[Path, Path], folder: Path, *options: str) -> subprocess.Popen[str]:
    paths = [part for name, path in outputs_of(folder).items() for part in (f"--{name}", str(path))]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", TAGRIG, "--zones", str(history[0]), str(history[1]), *paths, *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield made
    finally:
        made.close()


class TestDask:
    def test_the_same_bytes_also_when_a_worker_is_killed_in_mid_run(
        self, history: tuple[Path, Path], expected: dict[str, bytes], cluster: Cluster, tmp_path: Path
    ) -> None:
        cluster.add_worker()
        cluster.add_worker()
        assert run_watched(history, tmp_path, lambda _: None, dask_address=cluster.address) == expected
        killed: list[int] = []

        def kill(progress: Progress) -> None:
            if progress.fixes_done > 200 and not killed:
                cluster.workers[0].kill()
                killed.append(cluster.workers[0].wait())
                cluster.add_worker()

        assert run_watched(history, tmp_path, kill, dask_address=cluster.address) == expected
        assert killed == [-signal.SIGKILL]

    def test_a_cluster_that_loses_all_its_workers_is_an_error_in_bounded_time(
        self, history: tuple[Path, Path], cluster: Cluster, tmp_path: Path
    ) -> None:
        cluster.add_worker()
        path = index.make(gc.ZoneTable.from_geojson(history[0]), tmp_path, lambda _: None)
        begin = time.monotonic()
        with DaskCluster(cluster.address, path, Rules(max_gap_ns=None), patience_s=2.0) as engine:
            judged = engine.judge(iter(_cuts(history, tmp_path)), lambda: None)
            next(judged)
            cluster.workers[0].kill()
            with pytest.raises(JudgeLostError, match="had no worker for 2 s"):
                list(judged)
        assert time.monotonic() - begin < 60

    def test_a_cluster_without_workers_is_an_error_in_bounded_time(
        self, history: tuple[Path, Path], cluster: Cluster, tmp_path: Path
    ) -> None:
        path = index.make(gc.ZoneTable.from_geojson(history[0]), tmp_path, lambda _: None)
        with (
            pytest.raises(JudgeLostError, match="had no worker for 1 s"),
            DaskCluster(cluster.address, path, Rules(max_gap_ns=None), patience_s=1.0),
        ):
            pass

    def test_a_scheduler_that_dies_is_an_error_in_bounded_time(
        self, history: tuple[Path, Path], cluster: Cluster, tmp_path: Path
    ) -> None:
        cluster.add_worker()
        path = index.make(gc.ZoneTable.from_geojson(history[0]), tmp_path, lambda _: None)
        with DaskCluster(cluster.address, path, Rules(max_gap_ns=None), patience_s=2.0) as engine:
            judged = engine.judge(iter(_cuts(history, tmp_path)), lambda: None)
            next(judged)
            cluster.scheduler.kill()
            with pytest.raises(JudgeLostError):
                list(judged)

    def test_an_interrupted_run_leaves_the_cluster_to_others(
        self, history: tuple[Path, Path], expected: dict[str, bytes], cluster: Cluster, tmp_path: Path
    ) -> None:
        cluster.add_worker()
        folder = tmp_path / "interrupted"
        folder.mkdir()
        process = start_run(history, folder, "--dask", cluster.address, "--chunk-fixes", "1")
        wait_until(lambda: any(cluster.folder.rglob("*.index")), "the index on the worker")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        assert list(folder.iterdir()) == []
        wait_until(lambda: not any(cluster.folder.rglob("*.index")), "the index to be removed")
        assert run_watched(history, tmp_path, lambda _: None, dask_address=cluster.address) == expected

    @pytest.mark.parametrize(
        ("address", "code", "message"),
        [
            ("tcp://127.0.0.1:{port}", 3, "no Dask scheduler answers at"),
            ("nonsense://x:1", 2, "expected an address as tcp://host:8786, got 'nonsense://x:1'"),
            ("tcp://", 2, "expected an address"),
        ],
    )
    def test_an_address_where_nobody_answers(
        self, history: tuple[Path, Path], tmp_path: Path, address: str, code: int, message: str
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            process = start_run(history, tmp_path, "--dask", address.format(port=port))
            _, errors = process.communicate(timeout=60)
        assert process.returncode == code, errors
        assert message in errors
        assert "Traceback" not in errors
        assert list(tmp_path.iterdir()) == []
