"""How much of the catalogue was met: one row for each entry, for the report of a run or of a suite."""

from collections.abc import Iterable
from dataclasses import dataclass

from rig.faults.catalogue import CATALOGUE
from rig.runs.folder import BenchEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRow:
    """One entry of the catalogue and how it was met.

    Attributes
    ----------
    fault, layer, what, outcome : str
        From the catalogue.
    applied : int
        How often it was brought about.
    devices : tuple of str
        Whom it befell.
    first_s : float or None
        When it first began, seconds of the scenario.
    lasted_s : float
        How long it lasted in all; what has no end in the events counts nothing.
    """

    fault: str
    layer: str
    what: str
    outcome: str
    applied: int = 0
    devices: tuple[str, ...] = ()
    first_s: float | None = None
    lasted_s: float = 0.0

    @property
    def is_covered(self) -> bool:
        """Whether it was brought about at all."""
        return self.applied > 0


def coverage(events: Iterable[BenchEvent]) -> tuple[CoverageRow, ...]:
    """Compare what a bench did with the catalogue; all entries, in its order."""
    begun: dict[str, list[BenchEvent]] = {}
    lasted: dict[str, float] = {}
    open_since: dict[tuple[str, str | None], float] = {}
    for event in events:
        if event.what == "fault_applied":
            begun.setdefault(event.fault, []).append(event)
            open_since[event.fault, event.device] = event.t_s
        elif event.what == "fault_ended" and (since_s := open_since.pop((event.fault, event.device), None)) is not None:
            lasted[event.fault] = lasted.get(event.fault, 0.0) + event.t_s - since_s
    return tuple(
        CoverageRow(
            fault=entry.id,
            layer=entry.layer.value,
            what=entry.what,
            outcome=entry.outcome,
            applied=len(found := begun.get(entry.id, [])),
            devices=tuple(dict.fromkeys(each.device for each in found if each.device is not None)),
            first_s=min((each.t_s for each in found), default=None),
            lasted_s=round(lasted.get(entry.id, 0.0), 6),
        )
        for entry in CATALOGUE.values()
    )
