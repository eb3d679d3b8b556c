"""A process whose loops hang ends, says which and where, and does not end for other reasons."""

import asyncio
import subprocess
import sys
import time

import pytest

from bridge import supervisor as module
from bridge.supervisor import EXIT_CODE, Supervisor, beat_in_loop
from tests.support import wait_until


def run_child(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_loop_that_hangs_ends_the_process_with_all_stacks() -> None:
    done = run_child(
        "import threading\n"
        "from bridge.supervisor import Supervisor\n"
        "s = Supervisor(check_s=0.02); s.watch('the loop', 0.1); s.start()\n"
        "def hangs_here(): threading.Event().wait(50)\n"
        "hangs_here()\n"
    )
    assert done.returncode == EXIT_CODE
    assert "the loop has not turned for" in done.stderr
    assert "hangs_here" in done.stderr


def test_lock_held_at_the_end_does_not_keep_the_process_alive() -> None:
    """What hangs may hold the lock of the log, and exit handlers may hang as well."""
    done = run_child(
        "import atexit, logging, threading\n"
        "from bridge.supervisor import Supervisor\n"
        "logging.basicConfig(); logging.getLogger().handlers[0].lock.acquire()\n"
        "atexit.register(lambda: threading.Event().wait(50))\n"
        "s = Supervisor(check_s=0.02); s.watch('x', 0.1); s.start()\n"
        "threading.Event().wait(50)\n"
    )
    assert done.returncode == EXIT_CODE


def test_code_that_holds_the_interpreter_is_ended_by_the_backstop() -> None:
    """One call into C that never gives the lock back: no thread of Python runs any more."""
    done = run_child(
        "import threading\n"
        "from bridge.supervisor import Supervisor\n"
        "s = Supervisor(check_s=0.02); p = s.watch('x', 0.3); s.start()\n"
        "threading.Event().wait(0.1)\n"
        "sum(range(10**15))\n"
    )
    assert done.returncode == 1
    assert "Timeout (0:00:00.6" in done.stderr


def test_pulse_that_beats_or_has_stopped_ends_nothing() -> None:
    ends: list[str] = []
    watch = Supervisor(end=ends.append, check_s=0.005)
    beats, stopped = watch.watch("beats", 20.0), watch.watch("stopped", 0.0)
    stopped.stop()
    beats.beat()
    watch.start()
    wait_until(lambda: watch._thread.is_alive(), within_s=5, what="the thread")
    silent = watch.watch("silent", 0.0)
    wait_until(lambda: bool(ends), within_s=20, what="the end")
    assert ends[0].startswith("silent has not turned for")
    assert silent.find_silence_s(time.monotonic()) is not None
    watch.close()


def test_process_that_was_suspended_gets_its_whole_time_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[str] = []
    watch = Supervisor(end=ends.append, check_s=0.005)
    watch.watch("loop", 20.0)
    real, jump = time.monotonic, [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: real() + jump[0])
    watch.start()
    jump[0] = 1000.0
    wait_until(lambda: "stood still for 1000 s" in caplog.text, within_s=20, what="word of it")
    watch.close()
    assert not ends


async def test_event_loop_beats_until_cancelled() -> None:
    watch = Supervisor(end=lambda _: None)
    pulse = watch.watch("event loop", 0.0)
    before = pulse._last_s
    task = asyncio.create_task(beat_in_loop(pulse))
    await asyncio.sleep(0)
    assert pulse._last_s > before
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert pulse.find_silence_s(time.monotonic() + 100) is None
