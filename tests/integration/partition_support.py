"""Several bridges with one configuration, a fleet of emulated tags, and what a provider makes of them together."""

import json
import select
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from protocols.mqtt.ids import instance_id
from tests.bridge.support import ZONES_JSON, BridgeProcess, Heard
from tests.integration.fleet import address
from tests.support import wait_until

START_S = 120.0
"""Bounds a hang: five bridges with thousands of devices start on two cores beside other tests."""


class FleetProcess:
    """The fleet as a process of its own."""

    def __init__(self, tags: int, *, period_s: float, cross_every: int) -> None:
        self.tags = tags
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.fleet", str(tags), "0", str(period_s), str(cross_every)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.port = int(self._read()["port"])

    def tell(self) -> dict[str, object]:
        """Ask what was sent so far."""
        self._write("tell\n")
        return self._read()

    def set_period(self, period_s: float) -> None:
        """Report every so many seconds from now on."""
        self._write(f"period {period_s}\n")

    def wait_connected(self) -> None:
        """Wait until every tag has its bridge."""
        wait_until(lambda: self.tell()["connected"] == self.tags, within_s=START_S, what="all tags connected")

    def wait_rounds(self, rounds: float, period_s: float) -> None:
        """Wait until each tag has reported so often, whatever the machine makes of the period."""
        before = int(str(self.tell()["sent"]))
        wanted = before + int(self.tags * rounds)
        wait_until(
            lambda: int(str(self.tell()["sent"])) >= wanted, within_s=START_S + 2 * rounds * period_s, what="reports"
        )

    def inside(self) -> dict[str, bool]:
        """Whether each tag's last report lay in the zone."""
        return {f"t{n}": flag == "1" for n, flag in enumerate(str(self.tell()["inside"]))}

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def _read(self) -> dict[str, object]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_S)
        assert ready, "the fleet does not answer"
        return dict(json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()


def write_config(folder: Path, url: str, fleet: FleetProcess) -> Path:
    """One file for all bridges."""
    (folder / "zones.geojson").write_text(ZONES_JSON)
    devices = "".join(
        f'[[device]]\nid = "t{n}"\ntransport = "socket://{address(n)}:{fleet.port}"\ninterval_s = 3600\n'
        for n in range(fleet.tags)
    )
    path = folder / "bridge.toml"
    path.write_text(
        f'[bridge]\nid = "b"\n[broker]\nurl = "{url}"\n[zones]\nfile = "zones.geojson"\n'
        f"[outbox]\nballast_mib = 1\n[policy]\nheartbeat_interval_s = 1\n{devices}"
    )
    return path


class Layout:
    """So many bridges, started and ended together."""

    def __init__(self, folder: Path, config: Path, of: int) -> None:
        self.of = of
        self.bridges: list[BridgeProcess] = []
        for number in range(1, of + 1):
            own = folder / f"{number}of{of}-{time.monotonic_ns()}"
            own.mkdir()
            self.bridges.append(BridgeProcess(own, "-q", "--config", str(config), "--partition", f"{number}/{of}"))

    def wait_ready(self) -> None:
        """Wait until each of them runs."""
        for bridge in self.bridges:
            bridge.wait_for(lambda bridge=bridge: bool(bridge.named("ready")), what="ready", within_s=START_S)  # type: ignore[misc]

    def stop(self) -> None:
        """End all in order."""
        for bridge in self.bridges:
            bridge.process.terminate()
        codes = [bridge.wait_end(within_s=START_S) for bridge in self.bridges]
        assert codes == [0] * self.of, [bridge.log[-2000:] for bridge in self.bridges]

    def kill(self) -> None:
        """End all as a power cut would; harmless if they have ended."""
        for bridge in self.bridges:
            if bridge.process.poll() is None:
                bridge.process.kill()
        for bridge in self.bridges:
            if bridge.process.stdout is not None and not bridge.process.stdout.closed:
                bridge.wait_end()

    @property
    def names(self) -> set[str]:
        """The names that its bridges have in topics."""
        return {instance_id("b", f"{number}/{self.of}") for number in range(1, self.of + 1)}


@dataclass
class Story:
    """What a provider was told of one tag, by number: step, alert id, event id."""

    events: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    duplicates: int = 0
    faults: list[str] = field(default_factory=list)


def read_stories(heard: list[Heard]) -> dict[str, Story]:
    """Sort alerts by tag; tell of a number that came with two ids."""
    stories: dict[str, Story] = defaultdict(Story)
    for each in heard:
        if not each.topic.endswith("/alert"):
            continue
        event = msgspec.json.decode(each.body)
        story = stories[each.topic.split("/")[-2]]
        number = int(event["sequence"])
        told = (event["data"]["msg_type"], event["data"]["alert_id"], event["id"])
        before = story.events.setdefault(number, told)
        story.duplicates += before is not told
        if before != told:
            story.faults.append(f"number {number} stands for {before} and {told}")
    return stories


def assert_whole(heard: list[Heard], inside: dict[str, bool]) -> tuple[int, int]:
    """Nothing lost, nothing doubled, the end right: per tag no gap, Alert and Cancel in turns with one id each.

    Gives the number of events and of second sendings.
    """
    stories = read_stories(heard)
    problems: list[str] = []
    for tag, is_inside in inside.items():
        story = stories.get(tag, Story())
        problems += [f"{tag}: {fault}" for fault in story.faults]
        numbers = sorted(story.events)
        if numbers != list(range(1, len(numbers) + 1)):
            problems.append(f"{tag}: lost: {sorted(set(range(1, max(numbers) + 1)) - set(numbers))} of {max(numbers)}")
        steps = [story.events[number] for number in numbers]
        for place, (step, alert_id, _) in enumerate(steps):
            if step != ("Alert" if place % 2 == 0 else "Cancel"):
                problems.append(f"{tag}: #{place + 1} is {step}: raised twice or cleared twice")
            elif step == "Cancel" and alert_id != steps[place - 1][1]:
                problems.append(f"{tag}: #{place + 1} clears another alert")
        if (len(steps) % 2 == 1) != is_inside:
            problems.append(f"{tag}: {'inside' if is_inside else 'outside'} at the end, told {len(steps)} steps")
    assert not problems, (len(problems), problems[:10])
    return sum(len(story.events) for story in stories.values()), sum(story.duplicates for story in stories.values())


def not_told(heard: list[Heard], inside: dict[str, bool]) -> list[str]:
    """Tags whose last step does not say where they are."""
    stories = read_stories(heard)
    return [tag for tag, is_inside in inside.items() if (len(stories[tag].events) % 2 == 1) != is_inside]


def describe(heard: list[Heard], tags: list[str]) -> str:
    """What the provider was told of some tags."""
    stories = read_stories(heard)
    return "; ".join(f"{tag}: {' '.join(step for step, _, _ in stories[tag].events.values())}" for tag in tags)
