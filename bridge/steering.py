"""Carries report intervals to the tags: one task per command, which the driver bounds in time."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from bridge.commands.actions import TagLink
from bridge.sampling import Steer
from devices.errors import CommandTimeoutError
from protocols.errors import EncodeError
from protocols.reports import CommandOutcome, CommandVerb

_log = logging.getLogger(__name__)


class SteeringLane:
    """Runs the commands that nearness asks for on the drivers of the tags.

    Parameters
    ----------
    tags : mapping of str to TagLink
        Drivers by the id of their device.
    on_steered : callable
        Told whether a tag follows, in the loop's thread.
    on_failure : callable
        Told of an error of ours.
    """

    def __init__(
        self,
        tags: Mapping[str, TagLink],
        on_steered: Callable[[Steer, bool], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._tags = tags
        self._on_steered = on_steered
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def steer(self, steer: Steer) -> None:
        """Hand an interval to a tag's driver. After ``close`` there is none: the next start asks anew."""
        if self._is_closed:
            return
        task = asyncio.create_task(self._run(steer), name=f"interval of {steer.device_id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Give up what is under way."""
        self._is_closed = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, steer: Steer) -> None:
        try:
            ack = await self._tags[steer.device_id].command(CommandVerb.REPORT_INTERVAL, f"{steer.interval_s:g}")
        except (CommandTimeoutError, EncodeError) as exc:
            _log.warning("%s: does not report every %g s: %s", steer.device_id, steer.interval_s, exc)
            self._on_steered(steer, False)
            return
        followed = ack.outcome is CommandOutcome.DONE
        if followed:
            _log.info("%s: reports every %g s now", steer.device_id, steer.interval_s)
        else:
            _log.warning("%s: answers %s to an interval of %g s", steer.device_id, ack.outcome, steer.interval_s)
        self._on_steered(steer, followed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._on_failure(error)
