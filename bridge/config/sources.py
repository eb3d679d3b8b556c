"""Where each value of a configuration came from: file and line, ``--set``, the environment, or the default."""

import contextlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bridge.errors import ConfigError, Problem

ENVIRONMENT_PREFIX = "TAGRIG_"
"""``TAGRIG_BROKER__URL`` sets ``broker.url``; two underscores stand for the dot, so that keys may hold one."""

Key = tuple[str | int, ...]
"""Path of a value: table and key names, and positions in arrays of tables."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_ASSIGNMENT = re.compile(rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*=")


def key_text(key: Key) -> str:
    """Dotted form of a key, for people: ``device[0].interval_s``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A value from the command line or the environment, as text."""

    path: str
    text: str
    where: str


def overrides_from_environment(environment: Mapping[str, str]) -> list[Override]:
    """Variables with the prefix and a double underscore; others (``TAGRIG_BROKER_PASSWORD``) are not configuration."""
    found = []
    for name, text in sorted(environment.items()):
        rest = name.removeprefix(ENVIRONMENT_PREFIX)
        if rest != name and "__" in rest:
            found.append(Override(path=".".join(rest.lower().split("__")), text=text, where=name))
    return found


def override_from_option(option: str) -> Override:
    """Read ``key=value`` of ``--set``.

    Raises
    ------
    ConfigError
        There is no ``=``, or the value would be a secret in the process list.
    """
    path, equals, text = option.partition("=")
    if not equals or not path.strip():
        message = f"expected key=value, for example broker.url=mqtt://127.0.0.1:1883, got {option!r}"
        raise ConfigError([Problem(path="", where="--set", message=message)])
    return Override(path=path.strip(), text=text, where=f"--set {path.strip()}")


def candidates(text: str) -> Iterator[object]:
    """Values that a text may stand for: what TOML reads in it, then the text itself."""
    with contextlib.suppress(tomllib.TOMLDecodeError):
        yield tomllib.loads(f"value = {text}")["value"]
    yield text


def scan_lines(text: str) -> dict[Key, int]:
    """Line number of each table header and key of a TOML document that parses.

    A light scanner: it follows headers, keys, brackets and triple quotes, which is all that a line number needs. A key
    it cannot place (inside an inline table, say) is found by its nearest parent.
    """
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    depth = 0
    quote = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if quote:
            quote = "" if quote in line else quote
            continue
        if depth == 0 and (header := _HEADER.match(line)):
            table = _open_table(header.group(2), header.group(1) == "[[", counts)
            lines.setdefault(table, number)
            continue
        if depth == 0 and (assignment := _ASSIGNMENT.match(line)):
            lines.setdefault((*table, *_names(assignment.group(1))), number)
            line = line[assignment.end() :]
        bare = re.sub(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*", "", line.replace('"""', "\0").replace("'''", "\1"))
        for mark, name in (("\0", '"""'), ("\1", "'''")):
            if bare.count(mark) % 2:
                quote = name
        depth = max(0, depth + sum(bare.count(c) for c in "[{") - sum(bare.count(c) for c in "]}"))
    return lines


def _names(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.]+", dotted) if part.strip(" .")]


def _open_table(dotted: str, is_array: bool, counts: dict[Key, int]) -> Key:
    """Key of a header; ``[[order.protected]]`` belongs to the latest ``[[order]]``."""
    names = _names(dotted)
    table: Key = ()
    for position, name in enumerate(names):
        table = (*table, name)
        if is_array and position == len(names) - 1:
            counts[table] = counts.get(table, -1) + 1
        if table in counts:
            table = (*table, counts[table])
    return table


class Sources:
    """Remembers for each key who set it."""

    def __init__(self, file: str, lines: Mapping[Key, int]) -> None:
        self._file = file
        self._lines = dict(lines)
        self._overrides: dict[Key, str] = {}

    def override(self, key: Key, where: str) -> None:
        """Record that a key was set from outside the file."""
        self._overrides[key] = where

    def picked(self, kept: Mapping[str, Sequence[int]]) -> "Sources":
        """Follow arrays of tables of which only the entries at these old positions were kept, in this order.

        An array that is not named stays whole.
        """
        place = {(name, old): new for name, olds in kept.items() for new, old in enumerate(olds)}

        def moved(key: Key) -> Key | None:
            if len(key) < 2 or key[0] not in kept:
                return key
            new = place.get((str(key[0]), int(key[1])))
            return None if new is None else (key[0], new, *key[2:])

        rest = Sources(self._file, {new: line for key, line in self._lines.items() if (new := moved(key))})
        rest._overrides = {new: where for key, where in self._overrides.items() if (new := moved(key))}
        return rest

    def find(self, key: Key) -> str | None:
        """Who set exactly this key; None where it has its default."""
        for known, where in self._overrides.items():
            if known == key:
                return where
        line = self._lines.get(key)
        return None if line is None else f"{self._file}:{line}"

    def nearest(self, key: Key) -> str:
        """Who set this key or the nearest table around it; for error messages."""
        for length in range(len(key), 0, -1):
            where = self.find(key[:length])
            if where is not None:
                return where
        return self._file


def resolve(path: str, tree: Mapping[str, object], where: str) -> Key:
    """Key of a dotted path; an array of tables is entered by position or by the ``id`` of an entry.

    Raises
    ------
    ConfigError
        An array is entered by something that is neither.
    """
    key: list[str | int] = []
    node: object = tree
    for part in path.split("."):
        if isinstance(node, Sequence) and not isinstance(node, str):
            ids = [entry.get("id", entry.get("device")) if isinstance(entry, Mapping) else None for entry in node]
            if part in ids:
                index = ids.index(part)
            elif part.isdigit() and int(part) < len(node):
                index = int(part)
            else:
                known = ", ".join(str(name) for name in ids)
                message = f"no entry {part!r}; expected a position below {len(node)} or one of: {known}"
                raise ConfigError([Problem(path=path, where=where, message=message)])
            key.append(index)
            node = node[index]
        else:
            key.append(part)
            node = node.get(part) if isinstance(node, Mapping) else None
    return tuple(key)
