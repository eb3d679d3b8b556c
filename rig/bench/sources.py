"""What a bench gives a run for each device of a scenario: emulated, a recording, or hardware."""

from collections.abc import Iterator
from pathlib import Path

from devices.capture import is_capture, read_capture
from devices.errors import CaptureError
from devices.transports.raw_log import read_raw_log
from rig.bench.opening import OpenBench
from rig.bench.roles import Assignment
from rig.bench.schema import REPLAY, relative
from rig.errors import BenchBrokenError
from rig.play.settings import Source
from rig.scenario import Scenario


def sources_of(bench: OpenBench, scenario: Scenario) -> dict[str, Source]:
    """Return the sources of a scenario's devices on a bench; those it emulates are left out.

    Raises
    ------
    RoleAbsentError
        The bench has nothing for a device.
    BenchBrokenError
        A recording cannot be read.
    """
    found: dict[str, Source] = {}
    for each in bench.assign(scenario):
        firmware = bench.firmware.get(each.role, "")
        if each.kind == "replay":
            chunks = tuple(_chunks(each, bench.folder))
            found[each.device] = Source(kind="replay", chunks=chunks, expect_firmware=firmware)
        elif each.kind == "real":
            found[each.device] = Source(kind="real", transport=each.transport, expect_firmware=firmware)
    return found


def _chunks(each: Assignment, folder: Path) -> Iterator[tuple[float, bytes]]:
    target, _, _ = each.transport.removeprefix(f"{REPLAY}:").partition("?")
    path = relative(folder, target)
    try:
        if is_capture(path):
            first_ns: int | None = None
            for chunk in read_capture(path)[1]:
                first_ns = chunk.t_rx_mono_ns if first_ns is None else first_ns
                yield (chunk.t_rx_mono_ns - first_ns) / 1e9, chunk.data
        else:
            for timed in read_raw_log(path, bytes_per_s=None):
                yield timed.due_ns / 1e9, timed.data
    except (OSError, CaptureError) as exc:
        raise BenchBrokenError(f"{each.role}: {path}: the recording cannot be read: {exc}") from exc
