"""Scenario files that include others: their tables become one.

``include = ["base.toml"]`` reads the named files first, in their order, and lays this file over them. A table is merged
key by key; ``[[zone]]``, ``[[order]]`` (by ``id``) and ``[[person]]`` (by ``device``) are merged with the entry of the
same name; ``[[fault]]`` and ``[[broker_outage]]`` are added; any other value takes the place of the included one.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rig.errors import ScenarioError
from rig.scenario.parameters import mentioned

Data = dict[str, Any]
"""A TOML table: nested data whose types are checked once all is merged."""

_NAMED: Final = {"zone": "id", "order": "id", "person": "device"}
_ADDED: Final = frozenset({"fault", "broker_outage"})

_WAYS: Final = frozenset({"waypoint", "track"})

FILE_KEYS: Final = ("gpx", "csv", "nmea")
"""Keys of a recorded track that name a file."""

_DEEPEST: Final = 16
"""Files that include one another in a row; more is a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """One table from several files; ``mentioned`` are the parameters that any of them refers to."""

    data: Data
    mentioned: frozenset[str]


def read_merged(path: Path) -> Merged:
    """Read a file and all that it includes. Names of recordings become paths that hold wherever they are read from.

    Raises
    ------
    ScenarioError
        A file cannot be read, is no TOML, or includes itself in the end.
    """
    names: set[str] = set()
    data = _read_over(path, (), names)
    return Merged(data=data, mentioned=frozenset(names))


def _read_over(path: Path, above: tuple[Path, ...], mentions: set[str]) -> Data:
    resolved = path.resolve()
    if resolved in above or len(above) >= _DEEPEST:
        chain = " -> ".join(str(each) for each in (*above, resolved))
        raise ScenarioError(f"{path}: includes itself in the end: {chain}. Expected a file that comes to an end")
    data = _read(path)
    mentions |= mentioned(data)
    _root_recordings(data, resolved.parent)
    names = data.pop("include", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ScenarioError(f"{path}: include: expected a list of file names, got {names!r:.80}")
    merged: Data = {}
    for name in names:
        merged = _lay_over(merged, _read_over(resolved.parent / name, (*above, resolved), mentions))
    return _lay_over(merged, data)


def _read(path: Path) -> Data:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ScenarioError(f"{path}: the scenario cannot be read: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ScenarioError(f"{path}: not TOML: {exc}") from exc


def _lay_over(base: Data, over: Data) -> Data:
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        if key in _NAMED and isinstance(old, list) and isinstance(value, list):
            out[key] = _merge_named(old, value, _NAMED[key])
        elif key in _ADDED and isinstance(old, list) and isinstance(value, list):
            out[key] = [*old, *value]
        else:
            out[key] = _merge_value(old, value)
    return out


def _merge_named(old: list[Any], new: list[Any], name: str) -> list[Any]:  # Any: see Data
    out = list(old)
    for entry in new:
        same = next(
            (i for i, e in enumerate(out) if isinstance(e, dict) and isinstance(entry, dict) and _same(e, entry, name)),
            None,
        )
        if same is None:
            out.append(entry)
        else:
            out[same] = _merge_value(_without_other_way(out[same], entry), entry)
    return out


def _without_other_way(old: Data, new: Data) -> Data:
    """Leave out the way that a person went in the included file where the including one gives another."""
    if _WAYS.isdisjoint(new):
        return old
    return {key: value for key, value in old.items() if key not in _WAYS}


def _same(one: Data, other: Data, name: str) -> bool:
    return name in one and one[name] == other.get(name)


def _merge_value(old: Any, new: Any) -> Any:  # Any: see Data
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merge_value(old.get(key), value) for key, value in new.items()}}
    return new


def _root_recordings(data: Data, folder: Path) -> None:
    """Make paths of recordings absolute; one with a parameter in it stays relative to the outermost file."""
    people = data.get("person")
    for person in people if isinstance(people, list) else []:
        track = person.get("track") if isinstance(person, dict) else None
        if not isinstance(track, dict):
            continue
        for key in FILE_KEYS:
            if isinstance(track.get(key), str) and "${" not in track[key]:
                track[key] = str(folder / track[key])
