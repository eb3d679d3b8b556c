"""Dates: what was sent, what it can mean, and what to do when nothing was sent.

Rules, first that applies (also in ``protocols/README.md``):

1. ``SENT``: the epoch's own RMC or ZDA carries a date. 1980 and 2080 are power-up values of receivers that know no
   date: they and all beyond count as not sent, like digits that are no date.
2. ``ROLLOVER``: as 1, and the host's clock says that the date is k >= 1 whole periods of 1024 weeks in the past, to
   within ``ROLLOVER_TOLERANCE_NS``: it is moved by k periods.
3. ``CARRIED``: an earlier epoch had a date: the day on which this time of day is nearest to that epoch (moved on by the
   host's elapsed time where the host's time is given), so midnight is crossed forwards and backwards.
4. ``HOST``: no date was ever sent and the host's time is given: for the first epoch the day on which the time of day is
   nearest to it, for each later one the day nearest to the epoch before, as in 3: a recording heard at another time
   of day must not jump a day when it comes to lie more than twelve hours from the host's clock.
5. ``NONE``: no date, ``t_fix_utc_ns`` is None.

A leap second, 23:59:60, has no place in a count of days of 86,400 s: its fixes get the last nanosecond before midnight,
so they stay after 23:59:59 and before 00:00:00.
"""

from datetime import date

from protocols.nmea.fields import DAY_NS
from protocols.reports import DateRule

ROLLOVER_PERIOD_NS = 1024 * 7 * DAY_NS
"""The week number of the GPS L1 signal has ten bits (IS-GPS-200, 20.3.3.3.1.1)."""

ROLLOVER_TOLERANCE_NS = 7 * DAY_NS
"""How far a sent date may be from the host's time less k periods. A tag may deliver stored fixes days late, so less
than a week would leave those uncorrected; more would take dates that are wrong for another reason for rollovers."""

_PIVOT_YEAR = 80
_FIRST_YEAR, _LAST_YEAR = 1981, 2079
"""Years that RMC's two digits can say, without the power-up values 1980 and 2080 at their ends. ZDA has four digits;
beyond 2262 and before 1677 nanoseconds since 1970 do not fit in 64 bits."""
_UNIX_ORDINAL = date(1970, 1, 1).toordinal()


def find_short_day(text: str) -> int | None:
    """``ddmmyy`` of RMC to days since 1970-01-01, or None where it is no date. 80 to 99 are of the last century."""
    if len(text) != 6 or not text.isdigit():
        return None
    year = int(text[4:])
    return _find_days(year + (1900 if year >= _PIVOT_YEAR else 2000), int(text[2:4]), int(text[:2]))


def find_day(day: str, month: str, year: str) -> int | None:
    """Three fields of ZDA to days since 1970-01-01, or None where they are no date with a year of four digits."""
    if len(year) != 4 or not (day.isdigit() and month.isdigit() and year.isdigit()):
        return None
    return _find_days(int(year), int(month), int(day))


def _find_days(year: int, month: int, day: int) -> int | None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        return date(year, month, day).toordinal() - _UNIX_ORDINAL
    except ValueError:
        return None


def join(day: int, time_of_day_ns: int) -> int:
    """Days since 1970-01-01 and a time of day to UTC; a leap second gets the last nanosecond before midnight."""
    return day * DAY_NS + min(time_of_day_ns, DAY_NS - 1)


def _nearest(time_of_day_ns: int, reference_utc_ns: int) -> int:
    """Return the moment with this time of day that is at most twelve hours from the reference."""
    offset_ns = min(time_of_day_ns, DAY_NS - 1) - reference_utc_ns
    return reference_utc_ns + (offset_ns + DAY_NS // 2) % DAY_NS - DAY_NS // 2


class Calendar:
    """Resolves the time of one epoch after another; remembers the last date that was sent."""

    __slots__ = ("_carried_rule", "_known_rx_utc_ns", "_known_utc_ns")

    def __init__(self) -> None:
        self._known_utc_ns: int | None = None
        self._known_rx_utc_ns: int | None = None
        self._carried_rule = DateRule.HOST

    def resolve(
        self, time_of_day_ns: int | None, day: int | None, t_rx_utc_ns: int | None
    ) -> tuple[int | None, DateRule]:
        """Return UTC of an epoch and the rule its date came from."""
        if time_of_day_ns is None:
            return None, DateRule.NONE
        if day is not None:
            utc_ns, rule = _undo_rollover(join(day, time_of_day_ns), t_rx_utc_ns)
            self._carried_rule = DateRule.CARRIED
        elif self._known_utc_ns is not None:
            reference_ns = self._known_utc_ns
            if t_rx_utc_ns is not None and self._known_rx_utc_ns is not None:
                reference_ns += t_rx_utc_ns - self._known_rx_utc_ns
            utc_ns, rule = _nearest(time_of_day_ns, reference_ns), self._carried_rule
        elif t_rx_utc_ns is not None:
            utc_ns, rule = _nearest(time_of_day_ns, t_rx_utc_ns), DateRule.HOST
        else:
            return None, DateRule.NONE
        self._known_utc_ns = utc_ns
        self._known_rx_utc_ns = t_rx_utc_ns
        return utc_ns, rule


def _undo_rollover(sent_utc_ns: int, t_rx_utc_ns: int | None) -> tuple[int, DateRule]:
    if t_rx_utc_ns is None:
        return sent_utc_ns, DateRule.SENT
    behind_ns = t_rx_utc_ns - sent_utc_ns
    periods = (behind_ns + ROLLOVER_PERIOD_NS // 2) // ROLLOVER_PERIOD_NS
    if periods < 1 or abs(behind_ns - periods * ROLLOVER_PERIOD_NS) > ROLLOVER_TOLERANCE_NS:
        return sent_utc_ns, DateRule.SENT
    return sent_utc_ns + periods * ROLLOVER_PERIOD_NS, DateRule.ROLLOVER
