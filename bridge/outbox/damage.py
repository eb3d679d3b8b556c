"""Messages that are set aside because they cannot be read back, or not be sent: told once each."""

import logging
from collections.abc import Sequence

from bridge.outbox.port import OutboxTrouble, TroubleKind, TroubleListener
from bridge.outbox.rows import DamagedRow

_log = logging.getLogger(__name__)

NAMED_AT_ONCE = 10
"""Messages named in one warning; the log names all."""


class Damage:
    """What was set aside since the start.

    Attributes
    ----------
    trouble : OutboxTrouble or None
        The latest that the disk did not give back as it was written.
    """

    def __init__(self, on_trouble: TroubleListener) -> None:
        self.trouble: OutboxTrouble | None = None
        self._on_trouble = on_trouble
        self._told: set[int] = set()

    def tell(self, rows: Sequence[DamagedRow]) -> list[DamagedRow]:
        """Tell of rows that cannot be read back; returns those that are news."""
        news = [row for row in rows if not row.is_told and row.number not in self._told]
        self._told.update(row.number for row in news)
        if news:
            named = self._name(news)
            self.trouble = self._begin(
                f"the disk did not give back {named} as written: set aside, not sent. "
                "Next: check the disk; the rows stay in the file as evidence"
            )
        return news

    def tell_unsendable(self, row: DamagedRow) -> None:
        """Tell of a message that cannot be put into a packet."""
        if row.number not in self._told:
            self._told.add(row.number)
            self._begin(
                f"{self._name([row])} cannot be sent: set aside. Next: look at its row in the outbox; what else waits "
                "goes out"
            )

    def _name(self, rows: Sequence[DamagedRow]) -> str:
        names = [f"message {row.number} of {row.source or 'an unknown source'} ({row.detail})" for row in rows]
        for name in names:
            _log.error("set aside in the outbox: %s", name)
        more = len(names) - NAMED_AT_ONCE
        return ", ".join(names[:NAMED_AT_ONCE]) + (f" and {more} more" if more > 0 else "")

    def _begin(self, detail: str) -> OutboxTrouble:
        trouble = OutboxTrouble(kind=TroubleKind.SET_ASIDE, detail=detail)
        self._on_trouble(trouble)
        return trouble
