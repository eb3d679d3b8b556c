"""The form of an entry in the catalogue of faults: parameters, paces, and what is expected of the product."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

from protocols.mqtt.words import AlertKind
from rig.errors import FaultError

Value = bool | int | float | str
"""What a parameter may be; as TOML knows it."""


@unique
class Layer(StrEnum):
    """Where a fault acts; the part of its id before the dot."""

    SERIAL = "serial"
    GNSS = "gnss"
    BLE = "ble"
    BROKER = "broker"
    CLOCK = "clock"
    DEVICE = "device"
    HOST = "host"


@unique
class Pace(StrEnum):
    """How time passes on a bench."""

    VIRTUAL = "virtual"
    """One process on virtual time."""
    REAL = "real"
    """Processes on the machine's time, also sped up."""


BOTH_PACES = frozenset(Pace)
REAL_ONLY = frozenset({Pace.REAL})
"""Faults of processes, of the disk and of the way to the broker: on virtual time there is no process to stop, and time
stands still while something is on its way to the broker."""


@unique
class Target(StrEnum):
    """What a fault names with ``device``."""

    NOTHING = "nothing"
    """It is a fault of the bench; no ``device``."""
    LINE = "tag or receiver"
    """A device on a byte line: an ankle tag or a receiver."""
    SMART_TAG = "smart tag"
    """A tag on the air: the smart tag's id, or the person's device."""
    BEACON = "beacon"
    """A wearer whose tag is a beacon, too."""


@unique
class Fixes(StrEnum):
    """What becomes of the fixes of the device while the fault lasts."""

    KEPT = "kept"
    LATE = "late"
    """All arrive, some later than a report interval."""
    FEWER = "fewer"
    """Some do not arrive; what arrives is right."""
    NONE = "none"
    WRONG = "wrong"
    """They arrive and do not tell where the device is, or when."""


@unique
class Arrival(StrEnum):
    """How alerts that are raised while the fault lasts reach the provider. They all do."""

    PROMPT = "prompt"
    LATE = "late"
    """Once the fault is over."""
    REPEATED = "repeated"
    """Perhaps more than once, with the same id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What the product owes under a fault, and what is no mistake of it.

    Beyond this one rule holds for every fault: no alert that is owed is lost, and numbers stay without gaps.

    Attributes
    ----------
    fixes : Fixes
        Of the device; of all devices where the fault names none.
    arrival : Arrival
    owed : tuple of AlertKind
        Must be raised if the fault lasts ``owed_after`` long, and taken back after its end.
    allowed : tuple of AlertKind
        May be raised because of it, beside what is owed.
    owed_after : str
        ``"at once"``: with the next report; ``"silence"``: once the device's silence limit is over; ``"cover"``: once
        the bridge can no longer say who is near her, or reach her.
    links : tuple of str
        States of the line that the bridge must tell, as ``lost``, ``up``, ``wrong_baud``.
    rejects : bool
        Whether the bridge must have counted refused bytes.
    """

    fixes: Fixes = Fixes.KEPT
    arrival: Arrival = Arrival.PROMPT
    owed: tuple[AlertKind, ...] = ()
    allowed: tuple[AlertKind, ...] = ()
    owed_after: str = "at once"
    links: tuple[str, ...] = ()
    rejects: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a fault.

    Attributes
    ----------
    unit : str
        Empty for choices, switches and counts without a unit.
    low, high : float or None
        Range of a number, both ends included.
    choices : tuple of str
        All values of a text.
    """

    name: str
    default: Value
    about: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Value, where: str) -> Value:
        """Return the value, a whole number as decimal where the default is one.

        Raises
        ------
        FaultError
            Another type, out of range, or none of the choices.
        """
        what = f"{where}: {self.name} = {value!r}"
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise FaultError(f"{what}: expected true or false")
            return value
        if isinstance(self.default, str):
            if value not in self.choices:
                raise FaultError(f"{what}: expected one of: {', '.join(self.choices)}")
            return value
        if isinstance(value, bool | str) or not math.isfinite(value):
            raise FaultError(f"{what}: expected a number{self.range_text}")
        if isinstance(self.default, int) and value != int(value):
            raise FaultError(f"{what}: expected a whole number{self.range_text}")
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise FaultError(f"{what}: expected a number{self.range_text}")
        return int(value) if isinstance(self.default, int) else float(value)

    @property
    def range_text(self) -> str:
        """The range and the unit as a message says them."""
        unit = f" {self.unit}" if self.unit else ""
        return f" from {self.low:g} to {self.high:g}{unit}" if self.low is not None and self.high is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEntry:
    """One fault that the bench can bring about.

    Attributes
    ----------
    id : str
        ``layer.name``.
    what : str
        What happens.
    outcome : str
        What the product is expected to do, for a person.
    expect : Expect
        The same for a machine.
    target : Target
    lasting : bool
        Whether it lasts (``lasts_s``, else until the end of the run) or happens once.
    paces : frozenset of Pace
        Where it can be brought about.
    parameters : tuple of Parameter
    event : str
        Device event by which an emulated tag plays it itself; empty: the bench brings it about from outside.
    needs : str
        What the machine must have for it, for messages.
    """

    id: str
    what: str
    outcome: str
    expect: Expect
    target: Target = Target.NOTHING
    lasting: bool = True
    paces: frozenset[Pace] = BOTH_PACES
    parameters: tuple[Parameter, ...] = ()
    event: str = ""
    needs: str = ""

    @property
    def layer(self) -> Layer:
        """Where it acts."""
        return Layer(self.id.partition(".")[0])

    def resolve(self, given: Mapping[str, Value], where: str = "") -> dict[str, Value]:
        """All parameters: those given, checked, and the defaults of the others.

        Raises
        ------
        FaultError
            There is no such parameter, or a value is not possible.
        """
        where = where or self.id
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                listed = ", ".join(known) if known else "it has none"
                raise FaultError(f"{where}: unknown parameter {name!r}. Expected one of: {listed}")
        return {name: each.check(given.get(name, each.default), where) for name, each in known.items()}
