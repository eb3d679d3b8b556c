"""At which pace a journal is done again."""

import math
from collections.abc import Callable, Sequence

from bridge.publisher import Message
from devices.clock import Clock
from rig.replay.errors import ReplayError

Step = Callable[[], list[Message]]


def replay_speed(pace: str) -> float | None:
    """Read a pace; None: as fast as it goes.

    Raises
    ------
    ReplayError
        It is none of ``max``, ``recorded``, ``xN``.
    """
    if pace == "max":
        return None
    if pace == "recorded":
        return 1.0
    try:
        speed = float(pace.removeprefix("x"))
    except ValueError:
        speed = math.nan
    if not (pace.startswith("x") and 0.01 <= speed <= 10_000):
        raise ReplayError(f"pace {pace!r}: expected max, recorded, or a factor such as x10")
    return speed


async def do_steps(
    steps: Sequence[Step],
    moments: Sequence[int | None],
    *,
    speed: float | None,
    clock: Clock,
    tell: Callable[[int, list[Message]], None],
) -> None:
    """Do turns one after the other, each at its time.

    Parameters
    ----------
    steps : sequence of callable
    moments : sequence of int or None
        When each was, nanoseconds; None: right after the one before. A step back begins a new start.
    speed : float or None
    clock : Clock
        Waits.
    tell : callable
        Takes the number of each step and the messages that it made.
    """
    played_ns, before_ns, began_ns = 0, None, clock.mono_ns()
    for number, (step, moment_ns) in enumerate(zip(steps, moments, strict=True)):
        if speed is not None and moment_ns is not None:
            played_ns += max(0, moment_ns - (moment_ns if before_ns is None else before_ns))
            before_ns = moment_ns
            await clock.sleep_until(began_ns + round(played_ns / speed))
        tell(number, step())
