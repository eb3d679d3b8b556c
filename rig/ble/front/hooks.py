"""Faults of bluetoothd itself: a method that fails, is slow, or never answers."""

import asyncio
from dataclasses import dataclass, field

from rig.ble.front.replies import BluezError


@dataclass(slots=True, kw_only=True)
class Hook:
    """One fault of one method.

    Attributes
    ----------
    member : str
        Name of the method, such as ``Connect``.
    error : BluezError, optional
        What it answers.
    delay_s : float
        How long it waits first.
    never : bool
        It does not answer at all.
    times : int, optional
        How many calls are hit; None: all.
    under : str
        Only objects whose path begins so.
    after : bool
        The method is done first, then answered so.
    hits : int
        Calls that were hit.
    """

    member: str
    error: BluezError | None = None
    delay_s: float = 0.0
    never: bool = False
    times: int | None = None
    under: str = "/"
    after: bool = False
    hits: int = 0


@dataclass(slots=True)
class Hooks:
    """The faults that are on."""

    active: list[Hook] = field(default_factory=list)

    def take(self, member: str | None, path: str | None) -> Hook | None:
        """Find the fault that hits this call, and count the hit."""
        for hook in self.active:
            if hook.member == member and (path or "").startswith(hook.under):
                if hook.times is not None and hook.hits >= hook.times:
                    continue
                hook.hits += 1
                return hook
        return None

    @staticmethod
    async def suffer(hook: Hook) -> None:
        """Wait and fail as the fault says."""
        if hook.never:
            await asyncio.get_running_loop().create_future()
        if hook.delay_s:
            await asyncio.sleep(hook.delay_s)
        if hook.error is not None:
            raise hook.error
