"""The demo's processes: tags, bridge with its broker, subscriber. Brings them up and hands on what comes."""

import contextlib
import json
import selectors
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from devices.clock import Clock
from rig.demo.children import Child, Children
from rig.demo.settings import TOPIC_FILTER, DemoSettings, port_link, truth_file
from rig.demo.subscriber import Received
from rig.emulator.clock import NS_PER_S, format_utc
from rig.errors import BenchBrokenError
from rig.scenario import Scenario

_READY_S: Final = 30.0
"""Time for all processes to come up, seconds; two to three on an idle machine. Beyond it something hangs."""

_LEAD_NS: Final = 50_000_000
"""From the word go to the tags' first epoch, nanoseconds: both tags get the word before either begins."""

_READ_SIZE: Final = 65_536
"""Bytes read from a child at once."""

_MAX_LINE: Final = 1 << 20
"""Longest line of a child: far above any payload of the contract. Beyond it the child is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line from a child."""

    child: str
    data: bytes


class Bench:
    """All processes of one run. ``bring_up``, then ``go``, then ``lines`` until the story is over."""

    def __init__(
        self, scenario: Scenario, settings: DemoSettings, config: str, children: Children, clock: Clock
    ) -> None:
        self._scenario = scenario
        self._settings = settings
        self._config = config
        self._children = children
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._buffers: dict[str, bytes] = {}
        self._tags: list[Child] = []
        self._pending: list[Line] = []
        self.broker_url = ""
        self.start_mono_ns = 0

    def close(self) -> None:
        """Release what we hold; the children are ended by their own context."""
        self._selector.close()

    def launch(self) -> None:
        """Start the subscriber and the tags; they come up while the caller does other work."""
        folder = self._settings.folder
        # the tags' sped-up clocks start in the past and reach ours at the end: nothing they report lies in the future
        start_utc = format_utc(self._clock.utc_ns() - int(self._scenario.duration_s) * NS_PER_S)
        self._start("subscriber", ["-m", "rig.demo.subscriber"])
        for person in self._scenario.person:
            name = f"tag {person.device}"
            seed = self._scenario.seed if self._settings.seed is None else self._settings.seed
            args = [
                "-m", "rig.demo.verb", "emulate", "ankle", "--json", "--hold",
                "--scenario", str(folder / "scenario.toml"),
                "--device", person.device,
                # devices of one scenario must not share their errors
                "--seed", str(seed * 1000 + self._scenario.person.index(person)),
                "--start-utc", start_utc,
                "--speed", f"x{self._settings.speed:g}",
                "--duration-s", str(1e9),
                "--link", str(port_link(folder, person.device)),
                "--truth", str(truth_file(folder, person.device)),
            ]  # fmt: skip
            self._tags.append(self._start(name, args))

    def bring_up(self) -> None:
        """Start the bridge, and wait until the subscriber has its subscription.

        Raises
        ------
        BenchBrokenError
            A process died or did not come up in time.
        """
        for tag in self._tags:
            self._await(tag.name, "ready")
        self._start("bridge", ["-m", "rig.demo.verb", "bridge", "--config", self._config, "--json"])
        self.broker_url = str(self._await("bridge", "ready")["broker"])
        self._children.find("subscriber").send_line(f"{self.broker_url} {TOPIC_FILTER}")
        self._await("subscriber", "subscribed")

    def go(self) -> None:
        """Start the tags' time, all at the same moment."""
        self.start_mono_ns = self._clock.mono_ns() + _LEAD_NS
        for tag in self._tags:
            tag.send_line(f"go {self.start_mono_ns}")

    def tag_time_s(self, mono_ns: int) -> float:
        """Tag time at a moment of the machine's clock."""
        return (mono_ns - self.start_mono_ns) * self._settings.speed / NS_PER_S

    def messages(self, timeout_s: float) -> Iterator[Received]:
        """Yield what the subscriber printed within a moment; other children's lines are taken and left.

        Raises
        ------
        BenchBrokenError
            A process died.
        """
        self._children.check()
        self._pump(timeout_s)
        pending, self._pending = self._pending, []
        for line in pending:
            if line.child == "subscriber" and not line.data.startswith(b'{"event"'):
                yield msgspec.json.decode(line.data, type=Received)

    def _start(self, name: str, args: list[str]) -> Child:
        child = self._children.start(name, args, self._settings.folder / f"{name.replace(' ', '-')}.log")
        self._selector.register(child.stdout, selectors.EVENT_READ, child)
        self._buffers[name] = b""
        return child

    def _pump(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            child: Child = key.data
            data = child.stdout.read(_READ_SIZE)
            if not data:
                self._selector.unregister(child.stdout)
                continue
            *lines, rest = (self._buffers[child.name] + data).split(b"\n")
            if len(rest) > _MAX_LINE:
                raise BenchBrokenError(f"the {child.name} process printed a line of more than {_MAX_LINE} bytes")
            self._buffers[child.name] = rest
            self._pending += [Line(child=child.name, data=line) for line in lines]

    def _await(self, name: str, event: str) -> dict[str, Any]:  # Any: a JSON object of a child
        """Wait for a child's word; other lines stay pending."""
        deadline_ns = self._clock.mono_ns() + int(_READY_S * NS_PER_S)
        while self._clock.mono_ns() < deadline_ns:
            for line in self._pending:
                if line.child != name:
                    continue
                with contextlib.suppress(json.JSONDecodeError):
                    word = json.loads(line.data)
                    if isinstance(word, dict) and word.get("event") == event:
                        self._pending.remove(line)
                        return word
            self._children.check()
            self._pump(0.1)
        raise BenchBrokenError(
            f"the {name} process said nothing of {event!r} within {_READY_S:g} s. Next: read its log in "
            f"{self._settings.folder}"
        )
