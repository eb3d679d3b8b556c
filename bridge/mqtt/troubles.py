"""What threatens the delivery over one path although it is connected: told when it begins, and once when it is over."""

import logging
from collections.abc import Callable, Sequence

from bridge.publisher import DeliveryTrouble, DeliveryTroubleKind

_log = logging.getLogger(__name__)


class Troubles:
    """Of one path. ``tell`` is given each beginning and each end."""

    def __init__(self, path: str, tell: Callable[[DeliveryTrouble], None]) -> None:
        self._path = path
        self._tell = tell
        self._present: set[DeliveryTroubleKind] = set()

    def has_forgotten(self, url: str, again: int) -> None:
        """Tell of a broker that should know our session and does not."""
        detail = (
            f"{url} kept nothing of the session before: what it had acknowledged and not handed on may be lost there; "
            f"{again} alerts, the states and what was not acknowledged are sent again"
        )
        _log.warning("%s", detail)
        self._begin(DeliveryTroubleKind.AMNESIA, detail)

    def has_remembered(self, url: str) -> None:
        """Tell that it knew our session this time."""
        self._end(DeliveryTroubleKind.AMNESIA, f"{url} has kept our session")

    def canary_lost(self, url: str, what: str) -> None:
        """Tell of a broker that does not hand on what we send; ``what`` happened to the canary."""
        detail = (
            f"a message to ourselves by {url} {what}: alerts may be dropped there. "
            "Next: check what the broker's access list lets this bridge write and read"
        )
        _log.error("%s", detail)
        self._begin(DeliveryTroubleKind.CANARY_LOST, detail)

    def canary_back(self, url: str) -> None:
        """Tell that it hands on again."""
        self._end(DeliveryTroubleKind.CANARY_LOST, f"{url} hands on what we send again")

    def subscription_refused(self, url: str, filters: Sequence[str]) -> None:
        """Tell of topics that we may not read."""
        detail = f"{url} refuses us {', '.join(filters)}: nothing comes in from there"
        _log.error("%s. Next: allow them in the broker's access list", detail)
        self._begin(DeliveryTroubleKind.SUBSCRIPTION_REFUSED, detail)

    def subscription_granted(self, url: str) -> None:
        """Tell that we may read all that we ask for."""
        self._end(DeliveryTroubleKind.SUBSCRIPTION_REFUSED, f"{url} grants all that we subscribe to")

    def taken_over(self, url: str, client_id: str, *, is_sure: bool) -> None:
        """Tell of another client with our id; once, for it comes back with every connection."""
        if DeliveryTroubleKind.TAKEN_OVER in self._present:
            return
        detail = (
            f"{url} ends our connections as soon as they stand: {'' if is_sure else 'perhaps '}another client uses our "
            f"client id {client_id!r}. Next: give each bridge an id of its own"
        )
        _log.error("%s", detail)
        self._begin(DeliveryTroubleKind.TAKEN_OVER, detail)

    def left_alone(self, url: str) -> None:
        """Tell that a connection lasts again."""
        self._end(DeliveryTroubleKind.TAKEN_OVER, f"our client id is ours alone at {url}")

    def _begin(self, kind: DeliveryTroubleKind, detail: str) -> None:
        self._present.add(kind)
        self._tell(DeliveryTrouble(kind=kind, is_over=False, detail=detail, path=self._path))

    def _end(self, kind: DeliveryTroubleKind, detail: str) -> None:
        if kind in self._present:
            self._present.discard(kind)
            self._tell(DeliveryTrouble(kind=kind, is_over=True, detail=detail, path=self._path))
