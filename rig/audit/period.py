"""The period that a statement is about."""

from dataclasses import dataclass

from protocols.mqtt.times import utc_ns, utc_text
from rig.audit.errors import AuditError


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From and until, UTC; the end is not part of it."""

    start_utc_ns: int
    end_utc_ns: int

    def __str__(self) -> str:
        return f"{utc_text(self.start_utc_ns)} to {utc_text(self.end_utc_ns)}"

    def __contains__(self, t_utc_ns: int) -> bool:
        return self.start_utc_ns <= t_utc_ns < self.end_utc_ns


def parse_period(start: str, end: str) -> Period:
    """Read a period.

    Raises
    ------
    AuditError
        A time is none or has no offset, or the start is not before the end.
    """
    times = []
    for name, text in (("start", start), ("end", end)):
        try:
            times.append(utc_ns(text))
        except ValueError as exc:
            raise AuditError(
                f"the {name} of the period, {text!r}, is no time with an offset; expected for example "
                "2026-11-22T20:30:00Z or 2026-11-22T20:30:00+00:00"
            ) from exc
    if times[0] >= times[1]:
        raise AuditError(
            f"the period starts at {start} and ends at {end}: expected the start before the end. "
            "Next: look whether the two were exchanged"
        )
    return Period(start_utc_ns=times[0], end_utc_ns=times[1])
