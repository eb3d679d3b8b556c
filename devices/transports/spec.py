"""Specification strings: ``scheme:target?option=value&option=value``, split and checked before anything is opened."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from devices.errors import TransportSpecError

SERIAL_BAUD_DEFAULT = 9600
"""Bd. The rate GNSS modules leave the factory with today; older ones use 4800, trackers 115200."""
BAUD_MAX = 4_000_000
"""Bd. The highest rate of the Linux termios table; more is a typing error."""

_TRUE = frozenset({"yes", "true", "on", "1"})
_FALSE = frozenset({"no", "false", "off", "0"})


def closest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for a near miss, else an empty string."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{found[0]}'?" if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSpec:
    """A specification string in its parts.

    Attributes
    ----------
    text : str
        The string as it was given; names the transport in every message.
    scheme : str
    target : str
        What stands between the scheme and ``?``.
    options : Mapping[str, str]
    """

    text: str
    scheme: str
    target: str
    options: Mapping[str, str] = field(default_factory=dict)

    def error(self, message: str) -> TransportSpecError:
        """Build the error for this string."""
        return TransportSpecError(f"{self.text!r}: {message}")

    def check_options(self, *known: str) -> None:
        """Refuse options that the scheme does not know.

        Raises
        ------
        TransportSpecError
            Names the option, the nearest known one and all of them.
        """
        for name in self.options:
            if name not in known:
                listed = ", ".join(known) if known else "none"
                raise self.error(f"unknown option {name!r}{closest(name, known)} Options of {self.scheme!r}: {listed}.")

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return an option that is a whole number in [low, high]."""
        text = self.options.get(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise self.error(f"option {name}={text!r}: expected a whole number, {low} to {high}") from None
        if not low <= value <= high:
            raise self.error(f"option {name}={value}: expected {low} to {high}")
        return value

    def decimal(self, name: str, default: float, *, low: float, high: float) -> float:
        """Return an option that is a number in [low, high]."""
        text = self.options.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            raise self.error(f"option {name}={text!r}: expected a number, {low:g} to {high:g}") from None
        if not low <= value <= high:
            raise self.error(f"option {name}={text}: expected {low:g} to {high:g}")
        return value

    def choice(self, name: str, default: str, known: Iterable[str]) -> str:
        """Return an option that is one of the known words."""
        known = list(known)
        value = self.options.get(name, default)
        if value not in known:
            raise self.error(f"option {name}={value!r}: expected one of {', '.join(known)}{closest(value, known)}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return an option that is yes or no."""
        value = self.options.get(name)
        if value is None:
            return default
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
        raise self.error(f"option {name}={value!r}: expected yes or no")

    def host_port(self) -> tuple[str, int]:
        """Return host and port of a ``//host:port`` target; IPv6 addresses stand in brackets."""
        expected = f"expected {self.scheme}://host:port, for example {self.scheme}://192.0.2.7:4001"
        if not self.target.startswith("//"):
            raise self.error(expected)
        try:
            parts = urlsplit(self.target)
            host, port = parts.hostname, parts.port
        except ValueError as exc:
            raise self.error(f"{exc}; {expected}") from None
        if not host or not port or parts.path not in ("", "/") or parts.username is not None:
            raise self.error(expected)
        return host, port


def parse_spec(text: str, known_schemes: Iterable[str]) -> TransportSpec:
    """Split a specification string.

    Parameters
    ----------
    text : str
    known_schemes : iterable of str
        Schemes that may stand before the colon.

    Returns
    -------
    TransportSpec

    Raises
    ------
    TransportSpecError
        No scheme, an unknown one, or options that are not ``name=value``. The message holds a suggestion.
    """
    known = sorted(known_schemes)
    scheme, colon, rest = text.strip().partition(":")
    if text.strip().startswith(("/", "./", "~")):
        raise TransportSpecError(
            f"{text!r}: a path alone does not say what it is; "
            f"write serial:{text.strip()}?baud={SERIAL_BAUD_DEFAULT} for a port, pty:{text.strip()} for an emulated "
            f"one, replay:{text.strip()} for a recording"
        )
    if not colon or not scheme:
        raise TransportSpecError(
            f"{text!r}: expected scheme:target, with one of the schemes {', '.join(known)}{closest(text, known)}"
        )
    if scheme not in known:
        hint = "; did you mean 'socket'?" if scheme in ("tcp", "telnet", "tcp-client") else closest(scheme, known)
        raise TransportSpecError(f"{text!r}: unknown scheme {scheme!r}{hint} Schemes: {', '.join(known)}.")
    target, _, query = rest.partition("?")
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise TransportSpecError(f"{text!r}: option {part!r}: expected name=value")
        if name in options:
            raise TransportSpecError(f"{text!r}: option {name!r} is given twice")
        options[name] = unquote(value)
    return TransportSpec(text=text.strip(), scheme=scheme, target=target, options=options)
