"""Workers of a suite: all tasks are done, and nobody outlives whoever started them."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rig.approach.workers import each_done


def double(value: int) -> int:
    return 2 * value


# Processes of their own: the standard library's tracker of shared memory lives as long as whoever started workers.
ALL = """
from math import sqrt
from rig.approach.workers import each_done
if __name__ == "__main__":
    print(sorted(each_done(sqrt, [9.0, 1.0, 4.0], 2)))
"""


def test_all_tasks_are_done(tmp_path: Path) -> None:
    assert list(each_done(double, [1, 2, 3], 1)) == [2, 4, 6]
    script = tmp_path / "all.py"
    script.write_text(ALL)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[1.0, 2.0, 3.0]\n"


PARENT = """
import sys, time
from rig.approach.workers import each_done
if __name__ == "__main__":
    print("up", flush=True)
    for _ in each_done(time.sleep, [0.0] + [600.0] * 50, 2):
        print("one", flush=True)
"""


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_workers_end_with_whoever_started_them(how: str, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout as lines:
        assert [next(lines), next(lines)] == ["up\n", "one\n"]
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert len(workers) >= 2
        getattr(parent, how)()
        parent.wait(10)
        deadline_s = time.monotonic() + 10
        while (left := [each for each in workers if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]) and (
            time.monotonic() < deadline_s
        ):
            psutil.wait_procs(left, timeout=0.2)
        assert not left
