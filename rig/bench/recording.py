"""The bytes of a recording that stands for a device, each with its time from the recording's start."""

from collections.abc import Iterator
from pathlib import Path

from devices.capture import is_capture, read_capture
from devices.errors import CaptureError
from devices.transports.raw_log import read_raw_log
from rig.bench.schema import REPLAY
from rig.errors import BenchBrokenError


def recorded_chunks(transport: str) -> tuple[tuple[float, bytes], ...]:
    """Read a recording whole: seconds and bytes.

    Parameters
    ----------
    transport : str
        ``replay:FILE``; options are for the bridge's own transport and are not looked at.

    Raises
    ------
    BenchBrokenError
        It cannot be read.
    """
    path = Path(transport.removeprefix(f"{REPLAY}:").partition("?")[0])
    try:
        return tuple(_chunks(path))
    except (OSError, CaptureError) as exc:
        raise BenchBrokenError(f"{path}: the recording cannot be read: {exc}") from exc


def _chunks(path: Path) -> Iterator[tuple[float, bytes]]:
    if not is_capture(path):
        for timed in read_raw_log(path, bytes_per_s=None):
            yield timed.due_ns / 1e9, timed.data
        return
    first_ns: int | None = None
    for chunk in read_capture(path)[1]:
        first_ns = chunk.t_rx_mono_ns if first_ns is None else first_ns
        yield (chunk.t_rx_mono_ns - first_ns) / 1e9, chunk.data
