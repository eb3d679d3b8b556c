"""The demo's processes: tags, bridge with its broker, subscriber. Brings them up and hands on what comes."""

import contextlib
import json
import selectors
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from devices.clock import Clock
from devices.events import LinkState
from rig.demo.children import Child, Children
from rig.demo.settings import TOPIC_FILTER, DemoSettings, port_link, truth_file
from rig.demo.tag_words import TagWord
from rig.emulator.clock import NS_PER_S, format_utc
from rig.errors import BenchBrokenError
from rig.runs.received import Received
from rig.scenario import Scenario

_READY_S: Final = 30.0
"""Time for all processes to come up, seconds; two to three on an idle machine. Beyond it something hangs."""

_LEAD_NS: Final = 50_000_000
"""From the word go to the tags' first epoch, nanoseconds: both tags get the word before either begins."""

_READ_SIZE: Final = 65_536
"""Bytes read from a child at once."""

AIR: Final = "smart tags"
"""Name of the process with the emulated radio."""

BUS_VARIABLE: Final = "DBUS_SYSTEM_BUS_ADDRESS"
"""All that tells a bridge with an emulated radio from one with a real one."""

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
        self._outages = deque(scenario.broker_outage)
        self.broker_url = ""
        self.is_broker_gone = False
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
        if self._outages:
            self._start_broker()
        if self._has_smart_tags:
            scenario_file = str(folder / "scenario.toml")
            args = ["-m", "rig.demo.air", scenario_file, str(folder), f"{self._settings.speed:g}"]
            self._start(AIR, args)
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
        bridge = ["-m", "rig.demo.verb", "bridge", "--config", self._config, "--json"]
        if self._outages:
            self.broker_url = str(self._await("broker", "ready")["broker"])
            bridge += ["--broker", self.broker_url, "--set", "broker.mqtt_version=3.1.1"]
        radio = {BUS_VARIABLE: str(self._await(AIR, "ready")["bus"])} if self._has_smart_tags else {}
        self._start("bridge", bridge, radio)
        self.broker_url = str(self._await("bridge", "ready")["broker"])
        self._children.find("subscriber").send_line(f"{self.broker_url} {TOPIC_FILTER} demo-subscriber")
        self._await("subscriber", "subscribed")
        for person in self._scenario.person:
            if person.smart_tag is not None and person.smart_tag.on_air:
                self._await_link(person.smart_tag.id)

    def go(self) -> None:
        """Start the tags' time, all at the same moment."""
        self.start_mono_ns = self._clock.mono_ns() + _LEAD_NS
        for child in [*self._tags, *([self._children.find(AIR)] if self._has_smart_tags else [])]:
            child.send_line(f"go {self.start_mono_ns}")

    def follow(self, t_s: float) -> str | None:
        """Do to the broker what the scenario wants by now; say it where something was done.

        Raises
        ------
        BenchBrokenError
            The broker did not start again.
        """
        if not self._outages:
            return None
        outage = self._outages[0]
        if not self.is_broker_gone and t_s >= outage.at_s:
            self._selector.unregister(self._children.find("broker").stdout)
            self._children.kill("broker")
            self.is_broker_gone = True
            return "the broker is killed"
        if self.is_broker_gone and t_s >= outage.at_s + outage.lasts_s:
            self._start_broker()
            self._await("broker", "ready")
            self._outages.popleft()
            self.is_broker_gone = False
            return "the broker is started again"
        return None

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
        pending = [line for line in self._pending if line.child != AIR]
        self._pending = [line for line in self._pending if line.child == AIR]
        for line in pending:
            if line.child == "subscriber" and not line.data.startswith(b'{"event"'):
                yield msgspec.json.decode(line.data, type=Received)

    def tag_words(self) -> Iterator[TagWord]:
        """Yield what the smart tags did since the last call; ``messages`` takes the lines in."""
        lines = [line for line in self._pending if line.child == AIR]
        self._pending = [line for line in self._pending if line.child != AIR]
        for line in lines:
            yield msgspec.json.decode(line.data, type=TagWord)

    @property
    def _has_smart_tags(self) -> bool:
        return any(person.smart_tag is not None for person in self._scenario.person)

    def _await_link(self, device: str) -> None:
        """Wait until the bridge has a connection to a smart tag: a story without one would prove nothing."""
        while True:
            word = self._await("bridge", "link")
            if word["device"] == device and word["state"] == LinkState.UP:
                return

    def _start_broker(self) -> None:
        args = ["-m", "rig.demo.verb", "broker", "--json", "--store", str(self._settings.folder / "broker")]
        if self.broker_url:
            args += ["--port", self.broker_url.rpartition(":")[2]]
        self._start("broker", args)

    def _start(self, name: str, args: list[str], env: dict[str, str] | None = None) -> Child:
        child = self._children.start(name, args, self._settings.folder / f"{name.replace(' ', '-')}.log", env)
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
