"""Leases: who uses which hardware. A file each, with owner, heartbeat and expiry, in a folder that all jobs share.

A lease is held while its owner lives and gives signs of life. An owner that is dead (same machine) or silent for longer
than its lease (any machine) holds nothing. Changes are made under a lock on the folder, which the kernel drops with its
holder; so no crash leaves a lease that outlives it.
"""

import contextlib
import errno
import fcntl
import getpass
import hashlib
import json
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from devices.clock import Clock
from rig.bench.errors import LeaseBusyError, LeaseLostError

FOLDER_VARIABLE: Final = "TAGRIG_LEASES"
"""Names another folder for leases; jobs that use the same hardware must use the same one."""
BEATS_PER_LEASE: Final = 5
"""Signs of life within one expiry: four may be late before anybody else may think the owner gone."""
_RETRY_S: Final = 0.05
"""Seconds between two looks at a busy lease."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_STARTED_FIELD: Final = 19
"""Index of ``starttime`` behind the command's name in ``/proc/PID/stat`` (proc_pid_stat(5), field 22)."""


class LeaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One lease as it is written.

    Attributes
    ----------
    resource : str
        What is leased, such as ``/dev/ttyUSB0``.
    owner : str
        For people: who, and for what.
    token : str
        Tells this lease from any other.
    host, boot, pids, pid, pid_started : str, int
        The owning process: a number alone may be used again, and means nothing in another container or on another
        machine.
    lease_s : float
    beat_mono_ns, beat_utc_ns : int
        Last sign of life; the monotonic one counts on the same machine, which no stepped clock can disturb.
    """

    resource: str
    owner: str
    token: str
    host: str
    boot: str
    pids: str
    pid: int
    pid_started: str
    lease_s: float
    beat_mono_ns: int
    beat_utc_ns: int


def lease_folder() -> Path:
    """Where leases lie on this machine."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    shared = Path("/run/lock")
    return (shared if shared.is_dir() and os.access(shared, os.W_OK) else Path(tempfile.gettempdir())) / "tagrig"


class Lease:
    """Hardware that is ours until ``release``, all of it or none. Keeps itself alive in a thread of its own.

    Parameters
    ----------
    resources : sequence of str
    owner : str
    clock : Clock
    folder : Path
    lease_s : float

    Notes
    -----
    Use it as a context manager, or call ``acquire`` and ``release``.
    """

    def __init__(
        self, resources: Sequence[str], *, owner: str, clock: Clock, folder: Path | None = None, lease_s: float = 30.0
    ) -> None:
        self._resources = sorted(set(resources))
        self._owner = owner
        self._clock = clock
        self._folder = folder or lease_folder()
        self._lease_s = lease_s
        self._token = os.urandom(8).hex()
        self._ended = threading.Event()
        self._beater: threading.Thread | None = None
        self._lost: str | None = None

    def acquire(self, *, wait_s: float = 0.0) -> None:
        """Take all resources.

        Raises
        ------
        LeaseBusyError
            Somebody else has one of them, still after the wait; the message says who.
        """
        deadline_ns = self._clock.mono_ns() + round(wait_s * 1e9)
        while (holder := self._take_all()) is not None:
            if self._clock.mono_ns() >= deadline_ns:
                waited = f" after {wait_s:g} s" if wait_s else ""
                raise LeaseBusyError(
                    f"{holder.resource}: in use by {holder.owner}, process {holder.pid} on {holder.host}{waited}. "
                    "Next: wait for it, or use another bench; tagrig bench leases lists them all"
                )
            time.sleep(min(_RETRY_S, max(0.0, (deadline_ns - self._clock.mono_ns()) / 1e9)))
        if self._resources:
            self._ended.clear()
            self._beater = threading.Thread(target=self._keep_alive, name="lease", daemon=True)
            self._beater.start()

    def check(self) -> None:
        """Raise where the lease is ours no more.

        Raises
        ------
        LeaseLostError
        """
        if self._lost is not None:
            raise LeaseLostError(
                f"{self._lost}. This process was stopped for longer than its lease of {self._lease_s:g} s, "
                "and what it measured since then is worth nothing. Next: run again; or a longer lease_s"
            )

    def release(self) -> None:
        """Give everything back. Safe to call twice."""
        self._ended.set()
        if self._beater is not None:
            self._beater.join()
            self._beater = None
        with _locked(self._folder):
            for resource in self._resources:
                path = _path(self._folder, resource)
                found = _read(path)
                if found is not None and found.token == self._token:
                    path.unlink()

    def beat(self) -> None:
        """Give a sign of life for all resources, and notice which are ours no more."""
        with _locked(self._folder):
            for resource in self._resources:
                path = _path(self._folder, resource)
                found = _read(path)
                if found is None or found.token != self._token:
                    by = "nobody" if found is None else f"{found.owner}, process {found.pid} on {found.host}"
                    self._lost = f"{resource}: the lease was lost; it is held by {by}"
                    continue
                _write(path, self._entry(resource))

    def _take_all(self) -> LeaseFile | None:
        with _locked(self._folder):
            for resource in self._resources:
                found = _read(_path(self._folder, resource))
                if found is not None and is_held(found, self._clock):
                    return found
            for resource in self._resources:
                _write(_path(self._folder, resource), self._entry(resource))
        return None

    def _entry(self, resource: str) -> LeaseFile:
        return LeaseFile(
            resource=resource,
            owner=self._owner,
            token=self._token,
            host=socket.gethostname(),
            boot=_boot_id(),
            pids=_pid_namespace(),
            pid=os.getpid(),
            pid_started=_find_start(os.getpid()) or "",
            lease_s=self._lease_s,
            beat_mono_ns=self._clock.mono_ns(),
            beat_utc_ns=self._clock.utc_ns(),
        )

    def _keep_alive(self) -> None:
        while not self._ended.wait(self._lease_s / BEATS_PER_LEASE):
            try:
                self.beat()
            except OSError as exc:
                self._lost = f"the lease cannot be kept: {exc}"
                return

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(lease: LeaseFile, clock: Clock) -> bool:
    """Whether a lease still binds anybody."""
    if lease.boot == _boot_id():
        if lease.pids == _pid_namespace() and _find_start(lease.pid) != lease.pid_started:
            return False
        return clock.mono_ns() - lease.beat_mono_ns < lease.lease_s * 1e9
    if lease.host == socket.gethostname():
        # the same machine, started anew since: nothing of then still runs
        return False
    return clock.utc_ns() - lease.beat_utc_ns < lease.lease_s * 1e9


def list_leases(folder: Path | None = None) -> list[LeaseFile]:
    """Return all leases that are written down, held or not, by resource."""
    place = folder or lease_folder()
    found = [_read(path) for path in sorted(place.glob("*.lease"))] if place.is_dir() else []
    return sorted((lease for lease in found if lease is not None), key=lambda lease: lease.resource)


def job_name() -> str:
    """Return who runs this, for people: the CI job where there is one."""
    for variable in ("CI_JOB_URL", "BUILD_URL", "GITHUB_RUN_ID", "CI_JOB_ID"):
        if os.environ.get(variable):
            return f"job {os.environ[variable]}"
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):
        # several users share a bench; each may only remove what is his
        folder.chmod(0o1777)
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with contextlib.suppress(PermissionError):
            os.fchmod(fd, 0o666)
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _path(folder: Path, resource: str) -> Path:
    readable = re.sub(r"[^A-Za-z0-9.=-]+", "_", resource)[-60:].strip("_")
    return folder / f"{readable}-{hashlib.sha256(resource.encode()).hexdigest()[:12]}.lease"


def _read(path: Path) -> LeaseFile | None:
    """Return a lease; None where there is none, or what stands there is none of ours (a torn one after a power cut)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LeaseFile)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _write(path: Path, lease: LeaseFile) -> None:
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=".lease-")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(msgspec.to_builtins(lease), indent=1).encode())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as exc:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        if exc.errno in (errno.EACCES, errno.EPERM):
            raise LeaseBusyError(f"{path}: another user's lease stands there. Next: ask for its removal") from exc
        raise


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _find_start(pid: int) -> str | None:
    """When a process was started, as the kernel tells it; None where there is none, or only its remains."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[_STARTED_FIELD]
