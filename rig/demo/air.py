"""``python -m rig.demo.air SCENARIO FOLDER SPEED``: the smart tags and beacons of a scenario behind an emulated radio.

Prints one JSON line when the radio is up, and one for each thing that a person feels or that a tag does. The line
``go MONO_NS`` on standard input says when the scenario's zero is; its end is the end. The tags live in the scenario's
time; the radio does not hurry.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from devices.clock import SystemClock
from rig.ble.bench import BleBench
from rig.ble.scenario_air import AirOptions, OnAir, put_on_air
from rig.ble.victim import TagChange
from rig.demo.settings import KEYS
from rig.demo.tag_words import RadioReady, TagWord
from rig.scenario import Scenario, load_scenario

_ADVERT_S: Final = 0.1
"""Advertising interval of the tags, seconds of real time: a story in a hurry should not wait for a connection."""


def _print_change(change: TagChange) -> None:
    buzz = change.buzz
    _print(
        TagWord(
            tag=change.tag,
            t_mono_ns=change.t_mono_ns,
            level=int(change.level),
            mode=change.mode.name.lower(),
            connected=change.connected,
            felt=buzz.text.name.lower() if buzz is not None and buzz.on else None,
        )
    )


def _print(word: RadioReady | TagWord) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
    sys.stdout.buffer.flush()


def _obey(air: OnAir, data: bytes) -> None:
    words = data.split()
    if len(words) == 2 and words[0] == b"go" and words[1].isdigit():
        air.begin(int(words[1]))


async def run(scenario: Scenario, folder: Path, speed: float) -> None:
    """Run until standard input ends."""
    clock = SystemClock()
    ended = asyncio.Event()
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()
    options = AirOptions(keys=folder / KEYS, start_utc_ns=clock.utc_ns(), speed=speed, interval_s=_ADVERT_S)
    async with BleBench(folder / "radio") as bench:
        air = await put_on_air(bench, scenario, options, clock, _print_change)

        def read() -> None:
            data = os.read(stdin, 4096)
            if data:
                _obey(air, data)
            else:
                ended.set()

        loop.add_reader(stdin, read)
        _print(RadioReady(bus=bench.bus_address))
        await ended.wait()
    loop.remove_reader(stdin)


def main() -> None:
    """Take the three arguments."""
    scenario_file, folder, speed = sys.argv[1:]
    asyncio.run(run(load_scenario(Path(scenario_file)), Path(folder), float(speed)))


if __name__ == "__main__":
    main()
