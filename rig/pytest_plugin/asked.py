"""Which alert a test means, in the words of the contract, and what a record and a verdict have of it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from protocols.mqtt.messages import AlertKind, BandName
from rig.errors import ScenarioError
from rig.runs.record import AlertSeen
from rig.scenario import Scenario
from rig.truth.findings import Finding

WordT = TypeVar("WordT", bound=StrEnum)

OVER = " · over"
"""What a finding about the end of an alert ends with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An alert as a test asks for it; None: any.

    Attributes
    ----------
    kind : AlertKind or None
    zone : str or None
        Its id.
    zone_name : str or None
    band : BandName or None
    side : str or None
        ``tag`` or ``protected``.
    device : str or None
        Whose topic it came on.
    cleared : bool
        Its end instead of its beginning.
    """

    kind: AlertKind | None = None
    zone: str | None = None
    zone_name: str | None = None
    band: BandName | None = None
    side: str | None = None
    device: str | None = None
    cleared: bool = False

    @property
    def words(self) -> str:
        """For people."""
        parts = [self.kind.value if self.kind else "any alert", self.band and f"band {self.band.value}", self.zone]
        parts += [self.device and f"of {self.device}", "over" if self.cleared else None]
        return " ".join(part for part in parts if part)

    def fits(self, seen: AlertSeen) -> bool:
        """Whether an alert is the one that is asked for."""
        alert = seen.alert
        # the band of an end is CLEAR, whatever it was
        band = self.band is None or alert.band is self.band or (self.cleared and alert.cleared)
        return band and (
            alert.cleared == self.cleared
            and self.kind in (None, alert.kind)
            and self.zone in (None, alert.zone_id)
            and self.side in (None, alert.side)
            and self.device in (None, alert.subject)
        )

    def is_of(self, finding: Finding) -> bool:
        """Whether a finding judges the alert that is asked for."""
        what = finding.what
        if what.endswith(OVER) != self.cleared:
            return False
        if self.side not in (None, finding.side) or self.device not in (None, finding.subject):
            return False
        head, _, rest = what.removesuffix(OVER).partition(" · ")
        if self.kind is AlertKind.PROXIMITY_BREACH:
            band = "" if self.band is None else self.band.value.replace("_", "-")
            return head == "proximity" and rest.startswith(band)
        if self.kind is not None and head != self.kind.value.replace("_", " "):
            return False
        return self.zone is None or rest in (self.zone, self.zone_name)


def ask(
    scenario: Scenario,
    roles: dict[str, str],
    kind: str | None,
    *,
    zone: str | None,
    band: str | None,
    of: str | None,
    side: str | None,
    cleared: bool,
) -> Asked:
    """Check what a test asks for; ``roles`` gives the device of a role.

    Raises
    ------
    ScenarioError
        A name that the contract or the scenario has not: a test that waits for it would pass or fail for no reason.
    """
    zones = {each.id: each.name or each.id for each in scenario.zone}
    if zone is not None and zone not in zones:
        raise ScenarioError(f"zone {zone!r} is not in the scenario{_near(zone, zones)}")
    device = None
    if of is not None:
        devices = {person.device for person in scenario.person}
        device = roles.get(of, of)
        if device not in devices:
            raise ScenarioError(f"{of!r} is neither a role nor a device here{_near(of, [*roles, *devices])}")
    if side not in (None, "tag", "protected"):
        raise ScenarioError(f"side {side!r}: expected 'tag' or 'protected'")
    return Asked(
        kind=None if kind is None else _word(AlertKind, kind, "alert kind"),
        zone=zone,
        zone_name=None if zone is None else zones[zone],
        band=None if band is None else _word(BandName, band, "band"),
        side=side,
        device=device,
        cleared=cleared,
    )


def _word(words: type[WordT], text: str, what: str) -> WordT:
    try:
        return words(text)
    except ValueError:
        raise ScenarioError(f"{what} {text!r} is not known{_near(text, [each.value for each in words])}") from None


def _near(text: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    found = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    hint = f"; did you mean {found[0]!r}?" if found else "."
    return f"{hint} Known: {', '.join(names) or 'none'}"
