"""The form of an entry in the catalogue of faults."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

Undo = Callable[[], Awaitable[None]]
"""Ends a lasting fault."""

Apply = Callable[..., Awaitable[Undo | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One entry of the catalogue.

    Attributes
    ----------
    id : str
        Its name.
    what : str
        What happens.
    where : str
        "air", "tag", "bluetoothd" or "bus".
    sees : str
        What a driver sees through bleak.
    of_tag : bool
        Whether it is a fault of one tag.
    lasting : bool
        Whether it stays until cleared.
    options : dict
        Its options with their defaults.
    """

    id: str
    what: str
    where: str
    sees: str
    of_tag: bool
    lasting: bool
    options: dict[str, Any]
    apply: Apply


FAULTS: Final[dict[str, Fault]] = {}


def entry(
    what: str, *, where: str, sees: str, of_tag: bool = True, lasting: bool = True, **options: Any
) -> Callable[[Apply], Apply]:
    """Enter a function into the catalogue, under its name without the first underscore."""

    def enter(apply: Apply) -> Apply:
        name = apply.__name__.removeprefix("_")
        FAULTS[name] = Fault(
            id=name, what=what, where=where, sees=sees, of_tag=of_tag, lasting=lasting, options=options, apply=apply
        )
        return apply

    return enter
