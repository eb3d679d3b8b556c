"""Waiting in the event loop for what the publisher's thread has written to disk."""

import asyncio
from collections.abc import Callable, Sequence

from bridge.publisher import Message


class Commits:
    """Submits messages in the order of their numbers, and waits for their commit without holding up the loop.

    Parameters
    ----------
    submit : callable
    """

    def __init__(self, submit: Callable[[Message], None]) -> None:
        self._submit = submit
        self._waited: dict[str, asyncio.Future[bool]] = {}

    async def keep(self, messages: Sequence[Message], timeout_s: float) -> bool:
        """Submit messages; True: all of them are on disk within the time."""
        loop = asyncio.get_running_loop()
        futures = []
        for message in messages:
            future: asyncio.Future[bool] = loop.create_future()
            self._waited[message.event_id] = future
            futures.append(future)
            self._submit(message)
        try:
            async with asyncio.timeout(timeout_s):
                return all(await asyncio.gather(*futures))
        except TimeoutError:
            return False
        finally:
            for message in messages:
                self._waited.pop(message.event_id, None)

    def is_waited_for(self, messages: Sequence[Message]) -> bool:
        """Whether somebody waits for any of these; cheap, and may be asked in any thread."""
        return bool(self._waited) and any(message.event_id in self._waited for message in messages)

    def take(self, messages: Sequence[Message], durable: bool) -> None:
        """Note a commit; in the loop's thread."""
        for message in messages:
            future = self._waited.get(message.event_id)
            if future is not None and not future.done():
                future.set_result(durable)
