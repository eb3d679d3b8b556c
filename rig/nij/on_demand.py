"""Location on demand: the product's driver asks an emulated tag, on virtual time."""

import asyncio
from typing import Final

from devices.ankle_tag import AnkleTag
from devices.events import DeviceEvent
from devices.transports import open_transport
from protocols.reports import CommandVerb, Fix, FixState
from rig.emulator.firmware import AnkleTagFirmware, TagConfig
from rig.emulator.noise import stream
from rig.emulator.track import Track
from rig.play.tag_line import TagLine, driver_spec
from rig.scenario import Scenario
from rig.truth.log import TruthLog
from rig.virtual.clock import VirtualClock
from rig.virtual.loop import run_virtual

REQUESTS: Final = 20
"""Requests; the slowest counts."""

_HOURLY_S: Final = 3600.0
"""The tag's own interval: whatever comes sooner was asked for."""

_LONGEST_S: Final = 200.0
"""Seconds after which a request counts as unanswered: beyond the clause's three minutes."""

_WARM_UP_S: Final = 30.0
"""Seconds until the receiver has a fix."""


def measure_on_demand(scenario: Scenario, seed: int) -> list[float]:
    """Ask for the position again and again; seconds from each command to the decoded fix.

    Parameters
    ----------
    scenario : Scenario
        Whose first person's tag is asked.
    seed : int
    """
    clock = VirtualClock()
    return run_virtual(lambda _: _ask(scenario, seed, clock), clock)


async def _ask(scenario: Scenario, seed: int, clock: VirtualClock) -> list[float]:
    person = scenario.person[0]
    config = TagConfig(seed=seed, interval_s=_HOURLY_S, profile=person.profile, start_utc_ns=clock.utc_ns())
    firmware = AnkleTagFirmware(config, Track(scenario.frame, list(scenario.track(person).waypoints)))
    line = TagLine(person.device, clock=clock, log=TruthLog(None))
    fixes: asyncio.Queue[int] = asyncio.Queue()

    def take(event: DeviceEvent) -> None:
        if isinstance(event.report, Fix) and event.report.state is FixState.POSITION:
            fixes.put_nowait(event.stamps.t_decoded_mono_ns)

    driver = AnkleTag(
        device_id=person.device,
        transport=open_transport(driver_spec(person.device), clock=clock),
        clock=clock,
        on_event=take,
    )
    await line.open()
    running = asyncio.create_task(driver.run(), name="driver")
    try:
        line.start(firmware, clock.mono_ns())
        return [await _request(driver, fixes, clock, pause_s) for pause_s in _pauses(seed)]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await line.close()


def _pauses(seed: int) -> list[float]:
    rng = stream(seed, "nij/on demand")
    return [_WARM_UP_S + rng.uniform(0.0, 10.0) for _ in range(REQUESTS)]


async def _request(driver: AnkleTag, fixes: "asyncio.Queue[int]", clock: VirtualClock, pause_s: float) -> float:
    await clock.sleep_until(clock.mono_ns() + int(pause_s * 1e9))
    while not fixes.empty():
        fixes.get_nowait()
    asked_ns = clock.mono_ns()
    try:
        async with asyncio.timeout(_LONGEST_S):
            await driver.command(CommandVerb.LOCATE_NOW)
            return (await fixes.get() - asked_ns) / 1e9
    except TimeoutError:
        return _LONGEST_S
