"""Work that must come to its end once begun."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


async def unbroken(work: Coroutine[Any, Any, _T]) -> _T:
    """Do work to its end; who is cancelled meanwhile is cancelled after it.

    HCI answers carry no number: the answer to a command that nobody waits for any more would be taken for that of the
    next one.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
