"""Runs what the desk asks for on the drivers of the tags: no broker, no outbox, no queue of ours in between."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from bridge.warning.records import Arrived, Ask, Delivered, GivenUp
from devices.errors import WarnLostError
from devices.smart_tag_warn import WarnReceipt
from protocols.ble.smart_tag import WarnCommand


class Warner(Protocol):
    """A driver that can warn a person."""

    async def warn(self, command: WarnCommand) -> WarnReceipt:
        """Write a warning and wait for the tag's word.

        Raises
        ------
        WarnLostError
            It did not arrive, or nobody knows whether it did.
        """
        ...


class WarningLane:
    """One task per warning that is under way; the driver bounds how long each takes.

    Parameters
    ----------
    warners : mapping of str to Warner
        Drivers by the id of their device.
    on_delivered : callable
        Told what became of each warning, in the loop's thread.
    on_failure : callable
        Told of an error of ours.
    """

    def __init__(
        self,
        warners: Mapping[str, Warner],
        on_delivered: Callable[[Delivered], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._warners = warners
        self._on_delivered = on_delivered
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def ask(self, ask: Ask) -> None:
        """Hand a warning to its driver; it runs as soon as this turn of the loop is over.

        After ``close`` there is no driver left to hand it to, and nobody to tell: the next start asks for it anew.
        """
        if self._is_closed:
            return
        task = asyncio.create_task(self._run(ask), name=f"warning {ask.command.warn_id} of {ask.smart_tag}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Give up what is under way."""
        self._is_closed = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, ask: Ask) -> None:
        delivered: Delivered
        try:
            receipt = await self._warners[ask.smart_tag].warn(ask.command)
        except WarnLostError as exc:
            delivered = GivenUp(person=ask.person, warn_id=ask.command.warn_id, loss=exc.reason, detail=str(exc))
        else:
            delivered = Arrived(
                person=ask.person,
                asked_warn_id=ask.command.warn_id,
                warn_id=receipt.warn_id,
                t_written_mono_ns=receipt.t_written_mono_ns,
                t_started_mono_ns=receipt.t_started_mono_ns,
                confirmed=receipt.confirmed,
            )
        self._on_delivered(delivered)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._on_failure(error)
