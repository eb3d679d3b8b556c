"""What a person can do to an emulated smart tag by a word, wherever it lives."""

from collections.abc import Awaitable, Callable

from rig.ble.session_words import CommandError, expect_nothing, one_number, one_of, set_smp_fault
from rig.ble.victim import VictimTag

Action = Callable[[list[str]], Awaitable[str]]
"""Takes the words after a command; returns what is to be said."""


def victim_actions(tag: VictimTag) -> dict[str, Action]:
    """Return the commands of a smart tag."""

    async def press(rest: list[str]) -> str:
        expect_nothing(rest)
        await tag.press()
        return ""

    async def hold(rest: list[str]) -> str:
        await tag.press(one_number(rest, 0, 60))
        return ""

    async def sos(rest: list[str]) -> str:
        expect_nothing(rest)
        await tag.call_for_help()
        return ""

    async def battery(rest: list[str]) -> str:
        tag.firmware.set_battery(one_number(rest, 0, 100))
        tag.wake()
        return ""

    async def reboot(rest: list[str]) -> str:
        expect_nothing(rest)
        await tag.reboot()
        return f"runs {tag.smp.version}" if tag.smp is not None else ""

    async def motion(rest: list[str]) -> str:
        tag.firmware.set_motion(one_of(rest, "on", "off") == "on")
        tag.wake()
        return ""

    async def smp(rest: list[str]) -> str:
        if tag.smp is None:
            raise CommandError("this tag takes no firmware")
        set_smp_fault(tag.smp.faults, rest)
        return ""

    async def state(rest: list[str]) -> str:
        expect_nothing(rest)
        now = tag.firmware.state()
        return (
            f"{now.state.name.lower()}, level {tag.firmware.level.name.lower()}, sos {now.sos}, "
            f"battery {now.battery_pct} %, connected {tag.peripheral.connected}, "
            f"beacon heard {tag.firmware.heard} times"
        )

    return {
        "press": press,
        "hold": hold,
        "sos": sos,
        "battery": battery,
        "reboot": reboot,
        "motion": motion,
        "smp": smp,
        "state": state,
    }
