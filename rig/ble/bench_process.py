"""A bench of emulated tags in a process of its own, led by lines of JSON.

::

    async with BleBenchProcess(folder) as bench:
        await bench.add("rig.ble.plain_tag:PlainTag", name="tag-1", address="C0:DE:00:00:00:01")
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = bench.bus_address
        await bench.fault("out_of_range", tag="tag-1")
        assert await bench.get("tag-1", "commands") == [b"..."]

With a hundred tags the emulated radio takes most of a core; a driver in the same process would be measured with it. The
process ends when its standard input does, so none is left behind.

Each line to it is ``{"do": NAME, ...}``; each answer is ``{"ok": true, "value": ...}`` or
``{"ok": false, "error": TEXT}``. Bytes travel as ``{"hex": "..."}``.

==========  ==================================================================================
``add``     ``make`` (``module:callable``, called with the air and ``options``)
``remove``  ``tag``
``fault``   ``id``, ``tag``, ``options``; ``clear`` likewise
``radio``   ``tag``, ``options``: attributes of `rig.ble.air.Radio`
``get``     ``tag``, ``name``: an attribute of the tag
``call``    ``tag``, ``name``, ``options``: a method of the tag
``stop``    ends the process
==========  ==================================================================================
"""

import asyncio
import contextlib
import importlib
import inspect
import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from rig.ble.bench import BenchTag, BleBench
from rig.ble.errors import BenchProcessError, BleRigError
from rig.ble.front.options import FrontOptions

ANSWER_S: Final = 30.0
"""Time for the process to answer, seconds; to start is the longest, a second or two on a busy machine."""

_LINE_MAX: Final = 16 * 1024 * 1024
"""Longest line, bytes: a list of all that was written to a tag in a long run."""


def pack(value: Any) -> Any:
    """Make a value fit for JSON."""
    if isinstance(value, bytes | bytearray):
        return {"hex": bytes(value).hex()}
    if isinstance(value, list | tuple):
        return [pack(each) for each in value]
    if isinstance(value, dict):
        return {str(key): pack(each) for key, each in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)


def unpack(value: Any) -> Any:
    """Undo `pack`."""
    if isinstance(value, dict):
        if set(value) == {"hex"}:
            return bytes.fromhex(value["hex"])
        return {key: unpack(each) for key, each in value.items()}
    return [unpack(each) for each in value] if isinstance(value, list) else value


class BleBenchProcess:
    """The near end of a bench in another process; see `rig.ble.bench.BleBench` for what it holds.

    Parameters
    ----------
    folder : Path, optional
        Where captures and the process's log ``bench.log`` go.
    options : FrontOptions, optional
        How the emulated bluetoothd behaves.
    seed : int
        Fixes the air's randomness.
    daemon : bool
        Sit on a dbus-daemon.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        options: FrontOptions | None = None,
        seed: int = 1,
        daemon: bool = False,
    ) -> None:
        self._folder = folder
        self._start = {"options": asdict(options or FrontOptions()), "seed": seed, "daemon": daemon}
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self.bus_address = ""

    async def __aenter__(self) -> Self:
        """Start the process."""
        log: Any = asyncio.subprocess.DEVNULL
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            log = (self._folder / "bench.log").open("wb")
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "rig.ble.bench_process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=_LINE_MAX,
                start_new_session=True,
            )
        finally:
            if self._folder is not None:
                log.close()
        try:
            folder = None if self._folder is None else str(self._folder)
            self.bus_address = await self.ask("start", folder=folder, **self._start)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the process."""
        await self.close()

    async def close(self) -> None:
        """End the process, by force where it does not by itself."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(ANSWER_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def ask(self, do: str, **more: Any) -> Any:
        """Send a command and give what it answers.

        Raises
        ------
        BenchProcessError
            It refused, or died.
        """
        if self._process is None:
            raise BenchProcessError("the process has not been started. Next: async with BleBenchProcess(...) as bench")
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        async with self._turn:
            try:
                process.stdin.write(json.dumps({"do": do, **pack(more)}).encode() + b"\n")
                await process.stdin.drain()
                async with asyncio.timeout(ANSWER_S):
                    line = await process.stdout.readline()
            except (ConnectionError, TimeoutError) as exc:
                raise BenchProcessError(f"{do}: the process of the emulated radio does not answer") from exc
        if not line:
            where = "" if self._folder is None else f". Next: see {self._folder / 'bench.log'}"
            raise BenchProcessError(f"{do}: the process of the emulated radio has ended{where}")
        answer = json.loads(line)
        if not answer["ok"]:
            raise BenchProcessError(f"{do}: {answer['error']}")
        return unpack(answer["value"])

    async def add(self, make: str, **options: Any) -> str:
        """Put a tag on the bench: `make` is ``module:callable``; give its name."""
        return str(await self.ask("add", make=make, options=options))

    async def remove(self, tag: str) -> None:
        """Take a tag off the bench."""
        await self.ask("remove", tag=tag)

    async def fault(self, fault_id: str, *, tag: str | None = None, **options: Any) -> None:
        """Let a fault happen."""
        await self.ask("fault", id=fault_id, tag=tag, options=options)

    async def clear(self, fault_id: str, *, tag: str | None = None) -> None:
        """End a lasting fault."""
        await self.ask("clear", id=fault_id, tag=tag)

    async def radio(self, tag: str, **values: Any) -> None:
        """Set attributes of a tag's `rig.ble.air.Radio`."""
        await self.ask("radio", tag=tag, options=values)

    async def get(self, tag: str, name: str) -> Any:
        """Read an attribute of a tag."""
        return await self.ask("get", tag=tag, name=name)

    async def call(self, tag: str, name: str, **options: Any) -> Any:
        """Call a method of a tag."""
        return await self.ask("call", tag=tag, name=name, options=options)


# --- the process --------------------------------------------------------------------------------------------------


class _Server:
    def __init__(self, bench: BleBench) -> None:
        self._bench = bench

    async def serve(self, line: dict[str, Any]) -> Any:
        bench, options = self._bench, line.get("options", {})
        match line["do"]:
            case "add":
                module, _, name = line["make"].partition(":")
                made: BenchTag = getattr(importlib.import_module(module), name)(bench.air, **options)
                return (await bench.add(made)).name
            case "remove":
                return await bench.remove(line["tag"])
            case "fault":
                return await bench.fault(line["id"], tag=line.get("tag"), **options)
            case "clear":
                return await bench.clear(line["id"], tag=line.get("tag"))
            case "radio":
                radio = bench.radio(line["tag"])
                for name, value in options.items():
                    if name.startswith("_") or not hasattr(radio, name):
                        raise BenchProcessError(f"a radio has no {name!r}")
                    setattr(radio, name, value)
                return None
            case "get":
                return getattr(bench.tag(line["tag"]), _public(line["name"]))
            case "call":
                done = getattr(bench.tag(line["tag"]), _public(line["name"]))(**options)
                return await done if inspect.isawaitable(done) else done
            case other:
                raise BenchProcessError(f"there is no command {other!r}")


def _public(name: str) -> str:
    if name.startswith("_"):
        raise BenchProcessError(f"{name!r} is not for others")
    return name


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_LINE_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _answer(ok: bool, key: str, value: Any) -> None:
    sys.stdout.write(json.dumps({"ok": ok, key: pack(value)}) + "\n")
    sys.stdout.flush()


async def _main() -> None:
    reader = await _lines()
    line = await reader.readline()
    if not line:
        return
    start = json.loads(line)
    folder = None if start["folder"] is None else Path(start["folder"])
    bench = BleBench(folder, options=FrontOptions(**start["options"]), seed=start["seed"], daemon=start["daemon"])
    async with bench:
        _answer(True, "value", bench.bus_address)
        server = _Server(bench)
        while line := await reader.readline():
            asked = unpack(json.loads(line))
            if asked["do"] == "stop":
                _answer(True, "value", None)
                return
            try:
                value = await server.serve(asked)
            except (BleRigError, AttributeError, ImportError, LookupError, TypeError, ValueError) as exc:
                _answer(False, "error", f"{type(exc).__name__}: {exc}")
            else:
                _answer(True, "value", value)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(_main())
