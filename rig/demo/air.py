"""``python -m rig.demo.air SCENARIO FOLDER SPEED``: the smart tags of a scenario behind an emulated radio.

Prints one JSON line when the radio is up, and one for each thing that a person feels or that a tag does. Runs until
standard input ends. The tags live in the scenario's time; the radio does not hurry.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from devices.clock import Clock, SystemClock
from rig.ble.bench import BleBench
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.keys import read_key
from rig.ble.victim import TagChange, VictimTag
from rig.demo.settings import key_file
from rig.demo.tag_words import RadioReady, TagWord
from rig.scenario import PersonTable, Scenario, load_scenario

_ADVERT_S: Final = 0.1
"""Advertising interval of the tags, seconds of real time: a story in a hurry should not wait for a connection."""


def make_tag(
    scenario: Scenario, person: PersonTable, folder: Path, speed: float, clock: Clock, bench: BleBench
) -> VictimTag:
    """Make the smart tag of a person as the scenario wants it; what it does is printed."""
    assert person.smart_tag is not None
    name = person.smart_tag.id
    config = SmartTagConfig(
        seed=scenario.seed,
        start_utc_ns=clock.utc_ns(),
        tag_key=read_key(key_file(folder, name)),
        battery_pct=person.battery_pct,
    )
    return VictimTag(
        bench.air,
        name=name,
        firmware=SmartTagFirmware(config),
        clock=clock,
        interval_s=_ADVERT_S,
        acknowledges_after_s=person.smart_tag.acknowledges_after_s,
        speed=speed,
        on_change=_print_change,
    )


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


async def run(scenario: Scenario, folder: Path, speed: float) -> None:
    """Run until standard input ends."""
    clock = SystemClock()
    ended = asyncio.Event()
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()
    loop.add_reader(stdin, lambda: None if os.read(stdin, 4096) else ended.set())
    async with BleBench(folder / "radio") as bench:
        for person in scenario.person:
            if person.smart_tag is not None:
                await bench.add(make_tag(scenario, person, folder, speed, clock, bench))
        _print(RadioReady(bus=bench.bus_address))
        await ended.wait()
    loop.remove_reader(stdin)


def main() -> None:
    """Take the three arguments."""
    scenario_file, folder, speed = sys.argv[1:]
    asyncio.run(run(load_scenario(Path(scenario_file)), Path(folder), float(speed)))


if __name__ == "__main__":
    main()
