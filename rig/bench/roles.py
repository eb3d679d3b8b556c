"""Who of a scenario is played by which device of a bench.

A scenario's wearers are ``offender``, ``offender-2``, ... in its order, its protected persons ``victim``, ``victim-2``,
.... A table of the bench file stands for the person its ``of`` names (its own name where absent): a smart tag for her
smart tag, any other type for the device that tells where the person is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rig.bench.errors import RoleAbsentError
from rig.bench.schema import EMULATED, BenchFile, DeviceKind, DeviceTable
from rig.scenario import PersonTable, Scenario

OFFENDER = "offender"
VICTIM = "victim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One device of a scenario and what stands for it.

    Attributes
    ----------
    role : str
        The table of the bench file; for a device that no table names, the person's role.
    device : str
        Its id in the scenario.
    person : str
        The person's role, such as ``victim-2``.
    kind : {"real", "emulated", "replay"}
    transport : str
    table : DeviceTable or None
        None: the file does not name it, and it is emulated.
    """

    role: str
    device: str
    person: str
    kind: DeviceKind
    transport: str
    table: DeviceTable | None = None


def person_roles(scenario: Scenario) -> dict[str, PersonTable]:
    """Return the persons of a scenario by role."""
    found: dict[str, PersonTable] = {}
    for kind, name in (("wearer", OFFENDER), ("protected", VICTIM)):
        persons = [person for person in scenario.person if person.role == kind]
        found |= {name if i == 0 else f"{name}-{i + 1}": person for i, person in enumerate(persons)}
    return found


def assign(bench: BenchFile, scenario: Scenario) -> tuple[Assignment, ...]:
    """Say which device of the bench plays which of a scenario; the bench may have more than the scenario needs.

    Raises
    ------
    RoleAbsentError
        A device of the scenario has no table, and the bench does not emulate what is missing.
    """
    found: list[Assignment] = []
    for role, person in person_roles(scenario).items():
        found.append(_assigned(bench, role, person.device, is_smart_tag=False))
        if person.smart_tag is not None:
            found.append(_assigned(bench, role, person.smart_tag.id, is_smart_tag=True))
    return tuple(found)


def _assigned(bench: BenchFile, person: str, device: str, *, is_smart_tag: bool) -> Assignment:
    for role, table in bench.devices.items():
        if (table.of or role) == person and (table.type == "smart_tag") == is_smart_tag:
            return Assignment(
                role=role, device=device, person=person, kind=table.kind, transport=table.transport, table=table
            )
    if not bench.bench.emulate_missing:
        what = 'type = "smart_tag"' if is_smart_tag else 'type = "ankle_tag" or "gnss_receiver"'
        raise RoleAbsentError(
            f"bench {bench.bench.name!r} has nothing for {device!r}, the {'smart tag' if is_smart_tag else 'device'} "
            f"of {person}. Next: add a table with {what}, of = {person!r}, or emulate_missing = true to [bench]"
        )
    role = f"{person}-tag" if is_smart_tag else person
    return Assignment(role=role, device=device, person=person, kind="emulated", transport=f"{EMULATED}:")


def check_features(bench: BenchFile, wanted: Sequence[str]) -> list[str]:
    """Return the wanted features that the bench has not, in the order wanted."""
    return [feature for feature in wanted if feature not in bench.features]
