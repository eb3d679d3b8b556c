"""Memory and sameness at scale: one core, two cores and Dask on the same history."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.backtest_scale import TreeMemory, make_history, make_zones
from tests.rig.backtest_support import Cluster
from tests.support import FULL

TAGRIG = "from rig.cli.backtest import command; command(prog_name='tagrig backtest')"
MIB = 1 << 20
LIMIT_BYTES = 1024 * MIB
"""Peak of all processes together; the index and the interpreters are most of it, not the history."""


def run_tagrig(zones: Path, history: Path, folder: Path, *options: str) -> tuple[dict[str, object], str]:
    """Run it as a user does; returns its summary and a hash of its outputs."""
    folder.mkdir()
    outputs = [part for name in ("crossings", "dwell", "totals") for part in (f"--{name}", str(folder / f"{name}.csv"))]
    done = subprocess.run(
        [sys.executable, "-P", "-c", TAGRIG, "--zones", str(zones), str(history), "--json", *outputs, *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sha = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        sha.update(path.name.encode() + path.read_bytes())
    return json.loads(done.stdout), sha.hexdigest()


@contextlib.contextmanager
def cluster_of_two(folder: Path) -> Iterator[Cluster]:
    """A scheduler and two workers, which count as part of the run."""
    folder.mkdir()
    made = Cluster(folder)
    try:
        made.add_worker()
        made.add_worker()
        yield made
    finally:
        made.close()


def check(folder: Path, *, n_fixes: int, n_devices: int, n_zones: int) -> None:
    zones = make_zones(folder / "zones.geojson", n_zones, seed=2)
    history = make_history(folder / "history.csv", n_fixes, n_devices, seed=3)
    hashes = {}
    for name in ("1 core", "2 cores", "Dask"):
        with contextlib.ExitStack() as stack, TreeMemory() as memory:
            options = ["--jobs", name[0]]
            if name == "Dask":
                options = ["--dask", stack.enter_context(cluster_of_two(folder / "cluster")).address]
            summary, hashes[name] = run_tagrig(zones, history, folder / name.replace(" ", "-"), *options)
        told = int(str(summary["peak_pss_bytes"]))
        print(  # noqa: T201 - shown with -s
            f"{name}: {summary['fixes_per_s']} fixes/s, {summary['seconds']} s, peak {memory.peak_pss // MIB} MiB "
            f"(resident {memory.peak_rss // MIB}), told {told // MIB} MiB, {summary['crossings']} crossings",
            flush=True,
        )
        assert summary["fixes"] == n_fixes
        assert summary["rejected"] == {}
        assert int(str(summary["crossings"])) > n_fixes // 5000
        assert memory.peak_pss < LIMIT_BYTES, name
        if name != "Dask":
            # both watch the same processes, at other moments
            assert 0.7 * memory.peak_pss < told < 1.3 * memory.peak_pss
    assert len(set(hashes.values())) == 1, hashes


@pytest.mark.long
def test_many_fixes(tmp_path: Path) -> None:
    check(tmp_path, n_fixes=1_000_000 if FULL else 300_000, n_devices=1_000, n_zones=50)


@pytest.mark.soak
def test_ten_million_fixes_and_a_thousand_zones(tmp_path: Path) -> None:
    check(tmp_path, n_fixes=10_000_000, n_devices=500, n_zones=1_000)
