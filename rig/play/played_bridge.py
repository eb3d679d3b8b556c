"""The bridge of a run in this process: the product as it is, but for what was planted to see the judge find it."""

import asyncio
from typing import Any

from bridge.app import BridgeApp
from bridge.publisher import Lane, Message, PublisherStats
from rig.play.settings import Planted


class PlayedBridge(BridgeApp):
    """A bridge whose publisher the bench can ask how far it is.

    Parameters
    ----------
    planted : Planted
    *args, **kwargs
        See ``BridgeApp``.
    """

    def __init__(self, *args: Any, planted: Planted, **kwargs: Any) -> None:  # Any: the base class's own
        super().__init__(*args, **kwargs)
        self._planted = planted
        self._held: set[asyncio.TimerHandle] = set()

    def find_stats(self) -> PublisherStats | None:
        """Return how far the publisher is; None: there is none yet."""
        publisher = None if self._delivery is None else self._delivery.publisher
        return None if publisher is None else publisher.stats()

    def _submit(self, message: Message) -> None:
        if not self._planted.delay_alerts_s or message.lane is not Lane.ALERT:
            super()._submit(message)
            return
        submit = super()._submit
        asyncio.get_running_loop().call_later(self._planted.delay_alerts_s, submit, message)
