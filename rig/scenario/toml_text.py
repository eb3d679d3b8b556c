"""A scenario as one TOML file that needs no other."""

import json
import math
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from rig.scenario.model import Scenario

_WIDE: Final = 100
"""Characters of a list that stays on one line; a longer one gets a line per entry, so that a person can read it."""


def resolve_text(scenario: Scenario) -> str:
    """Write a scenario as it is after reading: includes merged, parameters in place, recorded tracks as waypoints.

    ``load_scenario`` of the text gives an equal scenario.
    """
    data = msgspec.to_builtins(scenario)
    assert isinstance(data, dict)
    lines = ["# Written by tagrig: a whole scenario, which includes no other file."]
    plain = {key: value for key, value in data.items() if not _is_table(value) and not _is_tables(value)}
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in data.items():
        if _is_table(value):
            lines += ["", f"[{_key(key)}]", *_pairs(value)]
        elif _is_tables(value):
            for entry in value:
                lines += ["", f"[[{_key(key)}]]", *_pairs(entry)]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:  # Any: TOML is nested data
    return isinstance(value, dict)


def _is_tables(value: Any) -> bool:  # Any: see _is_table
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, dict) for each in value)


def _pairs(table: dict[str, Any]) -> Iterator[str]:  # Any: see _is_table
    return (f"{_key(key)} = {_value(value)}" for key, value in table.items())


def _key(text: str) -> str:
    bare = text != "" and text.isascii() and all(c.isalnum() or c in "_-" for c in text)
    return text if bare else _text(text)


def _value(value: Any) -> str:  # Any: see _is_table
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _number(value)
        case str():
            return _text(value)
        case list() | tuple():
            return _list([_value(each) for each in value])
        case dict():
            return f"{{ {', '.join(_pairs(value))} }}" if value else "{}"
        case _:
            raise TypeError(f"expected what TOML knows, got {value!r:.60}")


def _list(entries: list[str]) -> str:
    line = f"[{', '.join(entries)}]"
    # tables inside stay on their lines: TOML 1.0 wants an inline table unbroken, lists may be broken
    if len(line) <= _WIDE or not any(entry.startswith("{") for entry in entries):
        return line
    return "[\n" + "".join(f"  {entry},\n" for entry in entries) + "]"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _text(text: str) -> str:
    # a JSON string is a TOML basic string but for DEL, which TOML wants escaped
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
