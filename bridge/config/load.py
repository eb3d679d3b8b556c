"""Read a configuration: file, then environment, then ``--set``; refuse all that is not understood, with its place."""

import difflib
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from bridge.config.check import cross_check
from bridge.config.schema import BridgeConfig
from bridge.config.sources import Key, Override, Sources, candidates, key_text, resolve, scan_lines
from bridge.errors import ConfigError, Problem

_UNIT_SUFFIXES = ("_s", "_ms", "_min", "_m", "_km", "_ft", "_pct", "_deg")

_PARTITION_RULE = "expected a part of how many, such as 2/8"
"""Said instead of the schema's only regular expression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A valid configuration, the folder that its relative paths start from, and where each value came from."""

    config: BridgeConfig
    folder: Path
    sources: Sources

    def path_of(self, name: str) -> Path:
        """Absolute path of a file named in the configuration."""
        return (self.folder / name).expanduser()


def load_config(
    file: Path | None, *, overrides: Sequence[Override] = (), base: Mapping[str, object] | None = None
) -> LoadedConfig:
    """Load and check a configuration.

    Parameters
    ----------
    file : pathlib.Path or None
        TOML; None: defaults and overrides only.
    overrides : sequence of Override
        In rising rank: the environment's first, then those of ``--set``.
    base : mapping, optional
        What the command line built (devices, zones); used instead of a file.

    Raises
    ------
    ConfigError
        With every problem found, each with its key and place.
    """
    name = str(file) if file is not None else "command line"
    text = _read(file) if file is not None else ""
    try:
        tree: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError([Problem(path="", where=name, message=f"not valid TOML: {exc}")]) from exc
    if base is not None:
        tree = {**tree, **base}
    sources = Sources(name, scan_lines(text))
    texts: dict[Key, str] = {}
    for override in overrides:
        key = resolve(override.path, tree, override.where)
        _plant(tree, key, override)
        sources.override(key, override.where)
        texts[key] = override.text
    reader = _Reader(sources, texts)
    config = reader.read(tree, BridgeConfig, ())
    problems = reader.problems
    if not problems:
        assert isinstance(config, BridgeConfig)
        problems = cross_check(config, sources)
    if problems:
        raise ConfigError(problems)
    assert isinstance(config, BridgeConfig)
    folder = file.resolve().parent if file is not None else Path.cwd()
    return LoadedConfig(config=config, folder=folder, sources=sources)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        message = f"cannot be read: {reason}. Next: check the path, or run without --config"
        raise ConfigError([Problem(path="", where=str(file), message=message)]) from exc


def _plant(tree: dict[str, object], key: Key, override: Override) -> None:
    """Put an override's text where its key says; tables that are missing are made."""
    node: object = tree
    for part in key[:-1]:
        if isinstance(node, list) and isinstance(part, int):
            node = node[part]
        elif isinstance(node, dict):
            node = node.setdefault(part, {})
    if not isinstance(node, dict):
        message = f"{key_text(key[:-1])} is not a table; expected for example broker.url=..."
        raise ConfigError([Problem(path=override.path, where=override.where, message=message)])
    node[key[-1]] = override.text


class _Reader:
    """Walks a tree beside the schema, so that all problems are reported at once and each with its own place."""

    def __init__(self, sources: Sources, texts: Mapping[Key, str]) -> None:
        self.problems: list[Problem] = []
        self._sources = sources
        self._texts = texts

    def read(self, tree: object, section: type[msgspec.Struct], key: Key) -> msgspec.Struct | None:
        if not isinstance(tree, dict):
            self._problem(key, f"expected a table, got {_kind(tree)}")
            return None
        fields = _fields_of(section)
        for name in tree:
            if name not in fields:
                self._problem((*key, name), _unknown(name, list(fields)))
        values: dict[str, object] = {}
        for name, field in fields.items():
            if name in tree:
                values[name] = self._value(tree[name], field.type, (*key, name))
            elif field.required:
                self._problem(key, f"the key {name!r} is missing")
        return None if self.problems else section(**values)

    def _value(self, value: object, kind: object, key: Key) -> object:
        section = _section_of(kind)
        if section is not None and typing.get_origin(kind) is tuple:
            if not isinstance(value, list):
                self._problem(key, f"expected an array of tables ([[{key_text(key)}]]), got {_kind(value)}")
                return ()
            return tuple(self.read(entry, section, (*key, index)) for index, entry in enumerate(value))
        if section is not None:
            return self.read(value, section, key)
        text = self._texts.get(key)
        tries = [value] if text is None else list(candidates(text))
        errors = []
        for attempt in tries:
            try:
                return msgspec.convert(attempt, type=kind)
            except msgspec.ValidationError as exc:
                errors.append(exc)
        choices = [c for c in (typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()) if c]
        if choices:
            self._problem(key, f"expected one of {', '.join(map(repr, choices))}, got {value!r}")
        else:
            # Of a text that reads as a number, what is wrong with the number is the news.
            said = str(errors[0]).replace(" - at `$`", "")
            said = _PARTITION_RULE if "matching regex" in said else said
            if said.startswith("Expected `array`") and isinstance(value, str):
                said = f'{said}. Next: write it in brackets, ["{value}"]'
            self._problem(key, f"{said}{_hint(tries[0], key)}")
        return None

    def _problem(self, key: Key, message: str) -> None:
        self.problems.append(Problem(path=key_text(key), where=self._sources.nearest(key), message=message))


@lru_cache
def _fields_of(section: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    """List a section's keys; once, not for each of ten thousand devices."""
    return {field.name: field for field in msgspec.structs.fields(section)}


def _section_of(kind: object) -> type[msgspec.Struct] | None:
    """Section class behind an annotation: itself, or the entry of an array of tables."""
    if typing.get_origin(kind) is tuple:
        return _section_of(typing.get_args(kind)[0])
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def _unknown(name: str, known: list[str]) -> str:
    units = sorted(_UNIT_SUFFIXES, key=len, reverse=True)
    stem = next((name.removesuffix(unit) for unit in units if name.endswith(unit)), name)
    same_stem = [k for k in known if k != name and any(k == stem + unit for unit in _UNIT_SUFFIXES)]
    if same_stem:
        return f"unknown key {name!r}; the unit is part of the name. Next: give the value as {same_stem[0]!r}"
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"unknown key {name!r}. Did you mean {close[0]!r}?"
    return f"unknown key {name!r}; known here: {', '.join(known)}"


def _hint(value: object, key: Key) -> str:
    unit = {"s": "seconds", "m": "metres", "pct": "percent"}.get(str(key[-1]).rsplit("_", 1)[-1])
    if isinstance(value, str) and unit is not None:
        return f" {value!r}. Next: write the number alone; it is in {unit}"
    if isinstance(value, dict):
        return ""
    text = repr(value)
    return f", got {text if len(text) <= 80 else text[:79] + '…'}"


def _kind(value: object) -> str:
    match value:
        case dict():
            return "a table"
        case list():
            return "an array"
        case _:
            return repr(value)
