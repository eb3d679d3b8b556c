"""What runs on a Dask worker: keep the index, judge chunks. One of the two modules that import distributed.

No disk is shared. The index is sent to each worker once, also to those that join later, and lies in the worker's own
folder under the hash of its content. Chunks are read by the run and sent with their tasks, so the scheduler can give
them to another worker when one is lost.
"""

import contextlib
import importlib.metadata
import zlib
from pathlib import Path

from distributed import Worker, WorkerPlugin, get_worker

from geofence_core import ZoneTable
from rig.backtest import frames, index
from rig.backtest.judge import Rules, judge_chunk
from rig.backtest.memory import peak_rss_bytes

Answer = tuple[bytes, str, int]
"""A packed `Judged`, the worker's address, its highest resident memory in bytes (0 where unknown)."""


def version() -> str:
    """Return the installed version of tagrig."""
    return importlib.metadata.version("tagrig")


class IndexPlugin(WorkerPlugin):
    """Keeps the index of one run on a worker."""

    def __init__(self, digest: str, content: bytes, rules: Rules) -> None:
        self.name = f"tagrig-index-{digest}"
        self._digest = digest
        self._packed = zlib.compress(content, 1)
        self._version = version()
        self.rules = rules
        self.zones: ZoneTable

    def forget(self) -> None:
        """Let go of the content: it was sent, or lies on the disk."""
        self._packed = b""

    def setup(self, worker: Worker) -> None:
        """Write the index into the worker's folder and map it."""
        if version() != self._version:
            raise RuntimeError(f"tagrig {version()} is installed on {worker.address}, the run has {self._version}")
        self._path = Path(worker.local_directory) / f"{self.name}.index"
        if not (self._path.exists() and index.digest(self._path) == self._digest):
            partial = self._path.with_suffix(".partial")
            partial.write_bytes(zlib.decompress(self._packed))
            partial.replace(self._path)
        self.forget()
        self.zones = index.load(self._path)

    def teardown(self, worker: Worker) -> None:
        """Remove the index."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def judge(plugin_name: str, data: bytes) -> Answer:
    """Judge one chunk."""
    worker = get_worker()
    plugin = worker.plugins[plugin_name]
    assert isinstance(plugin, IndexPlugin)
    judged = judge_chunk(plugin.zones, plugin.rules, frames.unpack(data))
    return frames.pack(judged), worker.address, peak_rss_bytes() or 0
