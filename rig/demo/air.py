"""``python -m rig.demo.air SCENARIO FOLDER SPEED``: the smart tags and beacons of a scenario behind an emulated radio.

Prints one JSON line when the radio is up, and one for each thing that a person feels or that a tag does. The line
``go MONO_NS`` on standard input is the scenario's zero; the end of the input is the end.
"""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from devices.clock import SystemClock
from rig.ble.bench import BleBench
from rig.demo.tag_words import RadioReady, TagWord
from rig.play.radio import RunRadio
from rig.scenario import Scenario, load_scenario


def _print(word: RadioReady | TagWord) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
    sys.stdout.buffer.flush()


async def run(scenario: Scenario, folder: Path, speed: float) -> None:
    """Run until standard input ends."""
    went, ended = asyncio.Event(), asyncio.Event()
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        if os.read(stdin, 4096):
            went.set()
        else:
            ended.set()
            went.set()

    async with BleBench(folder / "radio") as bench:
        radio = RunRadio(
            bench, scenario, seed=scenario.seed, folder=folder, clock=SystemClock(), say=_print, speed=speed
        )
        await radio.switch_on_tags(p for p in scenario.person if p.smart_tag is not None and p.smart_tag.on_air)
        loop.add_reader(stdin, read)
        try:
            _print(RadioReady(bus=bench.bus_address))
            await went.wait()
            await radio.switch_on_beacons()
            await ended.wait()
        finally:
            loop.remove_reader(stdin)


def main() -> None:
    """Take the three arguments."""
    scenario_file, folder, speed = sys.argv[1:]
    asyncio.run(run(load_scenario(Path(scenario_file)), Path(folder), float(speed)))


if __name__ == "__main__":
    main()
