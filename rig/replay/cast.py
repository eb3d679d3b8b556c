"""Who is who among recordings, and which rings are round whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rig.replay.errors import ReplayError
from rig.scenario import OrderTable, ProtectedTable

STANDING: Final = Path("standing")
"""Stands for the file of a person who stays where she is."""

Role = Literal["wearer", "protected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be replayed.

    Attributes
    ----------
    wearers, protected : tuple of Path
        Recordings; each wearer is kept away from each protected person.
    each_with_each : tuple of Path
        Recordings that are all of them both.
    protected_at : (float, float) or None
        A protected person who stays at this latitude and longitude, and whose receiver is right.
    truth : Path or None
        Where all of them truly were: one reference, where all were in one place. None: each was where it says.
    rings_m : tuple of float
        Contact, alarm, pre-alert.
    from_s, until_s : float, float or None
        The part of the time that all recordings share.
    delay_s : float
        The protected persons are so much behind: the same places later.
    """

    wearers: tuple[Path, ...] = ()
    protected: tuple[Path, ...] = ()
    each_with_each: tuple[Path, ...] = ()
    protected_at: tuple[float, float] | None = None
    truth: Path | None = None
    rings_m: tuple[float, float, float] = (50.0, 500.0, 1000.0)
    from_s: float = 0.0
    until_s: float | None = None
    delay_s: float = 0.0


def cast(asked: Asked) -> list[tuple[str, Role, Path]]:
    """Give every recording its role and a name."""
    wearers = [*asked.wearers, *asked.each_with_each]
    protected = [*asked.protected, *asked.each_with_each]
    if not wearers or not (protected or asked.protected_at):
        raise ReplayError("expected at least one recording of a wearer and one of a protected person")
    if asked.each_with_each and len(wearers) < 2:
        raise ReplayError("expected at least two recordings to hold each against each")
    found: list[tuple[str, Role, Path]] = [("wearer", "wearer", path) for path in wearers]
    found += [("protected", "protected", path) for path in protected]
    found += [("protected", "protected", STANDING)] if asked.protected_at is not None else []
    names = [f"{role}-{stem(path)}" for _, role, path in found]
    for name in names:
        if names.count(name) > 1:
            raise ReplayError(f"two recordings make the name {name!r}. Next: rename one of the files")
    return [(name, role, path) for name, (_, role, path) in zip(names, found, strict=True)]


def stem(path: Path) -> str:
    """Make of a file's name one that may stand in topics."""
    name = path.name.split(".", 1)[0]
    return "".join(c if c.isascii() and (c.isalnum() or c == "-") else "-" for c in name).strip("-").lower() or "it"


def pairs_of(asked: Asked, files: Sequence[tuple[str, Role, Path]]) -> list[tuple[str, str]]:
    """Tie wearers to protected persons; of two recordings that are both, once, and none to itself."""
    both = set(asked.each_with_each)
    return [
        (his, hers)
        for his, his_role, his_path in files
        for hers, her_role, her_path in files
        if (his_role, her_role) == ("wearer", "protected")
        and not (his_path in both and her_path in both and str(his_path) >= str(her_path))
    ]


def orders_of(asked: Asked, pairs: Sequence[tuple[str, str]]) -> list[OrderTable]:
    """Make the orders, one per wearer, with the rings asked for."""
    contact_m, alarm_m, pre_alert_m = asked.rings_m
    rings: dict[str, list[ProtectedTable]] = {}
    for wearer, person in pairs:
        table = ProtectedTable(device=person, contact_m=contact_m, alarm_m=alarm_m, pre_alert_m=pre_alert_m)
        rings.setdefault(wearer, []).append(table)
    return [
        OrderTable(id=f"order-{wearer}", wearer=wearer, zones=[], protected=protected)
        for wearer, protected in rings.items()
    ]


def title_of(asked: Asked) -> str:
    """Name the run."""
    names = [path.name for path in (*asked.wearers, *asked.protected, *asked.each_with_each)]
    if asked.protected_at is not None:
        names.append("a person who stands at {:.5f}, {:.5f}".format(*asked.protected_at))
    return f"Recordings: {', '.join(names)}"
