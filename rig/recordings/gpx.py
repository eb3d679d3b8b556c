"""Track points of a GPX file (1.0 or 1.1), read as a stream of tags by expat.

A document type declaration is refused: GPX has none, and only with one could a small file grow to a large one.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from xml.parsers import expat

from rig.errors import TrackError

_TEXT_CAP: Final = 64
"""Characters of a GPX time; a longer one is none, and must not be kept."""

_UNIX: Final = datetime(1970, 1, 1, tzinfo=UTC)

BadXml = expat.ExpatError
"""What `GpxParser` raises for bytes that are no XML."""


class GpxParser:
    """Takes the bytes of a file, gives its track points.

    Parameters
    ----------
    point : callable
        Takes latitude and longitude in degrees (None where one is no number) and the text of the time (None where there
        is none) of each track point, in the order of the file.

    Attributes
    ----------
    n_planned : int
        Waypoints and route points so far: they are a plan, not fixes.
    """

    def __init__(self, point: Callable[[float | None, float | None, str | None], None]) -> None:
        self.n_planned = 0
        self._take = point
        self._point: tuple[float | None, float | None] | None = None
        self._text: str | None = None
        self._time: str | None = None
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises
        ------
        BadXml
            They are no XML.
        TrackError
            There is a document type declaration.
        """
        self._parser.Parse(data, False)

    def close(self) -> None:
        """Take the end of the file. Raises as ``feed``."""
        self._parser.Parse(b"", True)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(" ")[2]
        if tag == "trkpt":
            self._point = (_degrees(attributes.get("lat")), _degrees(attributes.get("lon")))
            self._time = None
        elif tag in {"wpt", "rtept"}:
            self.n_planned += 1
        elif tag == "time" and self._point is not None:
            self._text = ""

    def _end(self, tag: str) -> None:
        tag = tag.rpartition(" ")[2]
        if tag == "time" and self._text is not None:
            self._time, self._text = self._text.strip(), None
        elif tag == "trkpt" and self._point is not None:
            self._take(*self._point, self._time)
            self._point = None

    def _characters(self, text: str) -> None:
        if self._text is not None and len(self._text) < _TEXT_CAP:
            self._text += text

    def _doctype(self, *_: object) -> None:
        raise TrackError("has a document type declaration, which GPX has not. Next: remove it")


def find_utc_ns(text: str) -> int | None:
    """Return the nanoseconds of an ISO 8601 time, None where it is none; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _UNIX) // timedelta(microseconds=1) * 1_000


def _degrees(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value == value else None
