"""A closed epoch to the one ``Fix`` that is reported for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from protocols.nmea.cycle import Name
from protocols.nmea.epoch import Epoch
from protocols.nmea.records import Claim, Kind
from protocols.nmea.sigma import horizontal_sigma
from protocols.reports import DateRule, ErrorEllipse, Fix, FixMode, FixQuality, FixState

_T = TypeVar("_T")

_PRECEDENCE = {Kind.GGA: 0, Kind.GNS: 1, Kind.RMC: 2, Kind.GLL: 3}
"""Which sentence is believed where several say the same thing: GGA and GNS carry the quality of the very position."""

_EXPLICIT_STATES = (FixState.SIMULATOR, FixState.MANUAL, FixState.DEAD_RECKONING)
"""States that one sentence is enough for: no other sentence of the epoch takes them back."""

_DIMENSIONS = (FixMode.TWO_D, FixMode.THREE_D)


@dataclass(frozen=True, slots=True, kw_only=True)
class _AtPosition:
    """What a fix has only in state ``POSITION``."""

    lat_deg: float | None = None
    lon_deg: float | None = None
    alt_m: float | None = None
    speed_mps: float | None = None
    course_deg: float | None = None
    error_ellipse: ErrorEllipse | None = None
    horizontal_sigma_m: float | None = None
    sigma_rule: str | None = None


def build_fix(epoch: Epoch, t_fix_utc_ns: int | None, date_rule: DateRule) -> Fix:
    """Merge what the sentences of one epoch say. The epoch holds at least one claim.

    A sentence speaks for its own coordinates: an RMC with status V gives none, but takes none from a valid GGA either.
    Of several positions that agree, the one with the most decimals is reported.
    """
    claims = sorted(epoch.claims, key=lambda claim: _PRECEDENCE[claim.kind])
    state = _state(claims)
    speaker = min(
        (claim for claim in claims if claim.state is state),
        key=lambda claim: claim.position.step_deg if claim.position is not None else 0.0,
    )
    quality = _find_first(claim.quality for claim in claims if claim.state is state)
    if quality is None and state is FixState.POSITION and epoch.ground is not None:
        quality = epoch.ground.quality or None
    hdop = _find_first([*(claim.hdop for claim in claims), *(solution.hdop for solution in epoch.solutions)])
    at_position = _at_position(epoch, claims, speaker, quality, hdop)
    cn0_dbhz, in_view = _sky(epoch)
    return Fix(
        offset=epoch.offset,
        state=state,
        talker=speaker.talker,
        t_fix_utc_ns=t_fix_utc_ns,
        time_of_day_ns=epoch.time_of_day_ns,
        date_rule=date_rule,
        lat_deg=at_position.lat_deg,
        lon_deg=at_position.lon_deg,
        alt_m=at_position.alt_m,
        speed_mps=at_position.speed_mps,
        course_deg=at_position.course_deg,
        mode=_mode(epoch, state),
        quality=quality,
        satellites_used=_satellites_used(epoch, claims),
        satellites_in_view=in_view,
        pdop=_find_first(solution.pdop for solution in epoch.solutions),
        hdop=hdop,
        vdop=_find_first(solution.vdop for solution in epoch.solutions),
        cn0_max_dbhz=max(cn0_dbhz, default=None),
        cn0_mean_dbhz=sum(cn0_dbhz) / len(cn0_dbhz) if cn0_dbhz else None,
        error_ellipse=at_position.error_ellipse,
        horizontal_sigma_m=at_position.horizontal_sigma_m,
        sigma_rule=at_position.sigma_rule,
        stored=epoch.stored,
        sequence=epoch.sequence,
    )


def _state(claims: list[Claim]) -> FixState:
    states = {claim.state for claim in claims}
    for explicit in _EXPLICIT_STATES:
        if explicit in states:
            return explicit
    return FixState.POSITION if FixState.POSITION in states else FixState.NO_FIX


def _at_position(
    epoch: Epoch, claims: list[Claim], speaker: Claim, quality: FixQuality | None, hdop: float | None
) -> _AtPosition:
    if speaker.position is None:
        return _AtPosition()
    valid = [claim for claim in claims if claim.position is not None]
    noise = epoch.noise
    sigma_m, sigma_rule = horizontal_sigma(quality, hdop, noise)
    speed_mps = _find_first(claim.speed_mps for claim in valid)
    course_deg = _find_first(claim.course_deg for claim in valid)
    if epoch.ground is not None:
        speed_mps = epoch.ground.speed_mps if speed_mps is None else speed_mps
        course_deg = epoch.ground.course_deg if course_deg is None else course_deg
    ellipse = None
    if noise is not None and noise.semi_major_m and noise.semi_minor_m and noise.orientation_deg is not None:
        ellipse = ErrorEllipse(
            semi_major_m=noise.semi_major_m,
            semi_minor_m=noise.semi_minor_m,
            orientation_deg=noise.orientation_deg,
        )
    return _AtPosition(
        lat_deg=speaker.position.lat_deg,
        lon_deg=speaker.position.lon_deg,
        alt_m=_find_first(claim.alt_m for claim in valid),
        speed_mps=speed_mps,
        course_deg=course_deg,
        error_ellipse=ellipse,
        horizontal_sigma_m=sigma_m,
        sigma_rule=sigma_rule,
    )


def _mode(epoch: Epoch, state: FixState) -> FixMode | None:
    """Best of the GSA sentences: a constellation that contributes nothing says 1 while another one says 3."""
    if state is FixState.NO_FIX:
        return FixMode.NONE
    modes = [solution.mode for solution in epoch.solutions if solution.mode in _DIMENSIONS]
    return FixMode.THREE_D if FixMode.THREE_D in modes else (FixMode.TWO_D if modes else None)


def _satellites_used(epoch: Epoch, claims: list[Claim]) -> int | None:
    """GGA and GNS count; where a receiver sends one GGA per constellation, the largest is the solution's."""
    counted = [claim.satellites_used for claim in claims if claim.satellites_used is not None]
    if counted:
        return max(counted)
    return sum(solution.satellites_used for solution in epoch.solutions) if epoch.solutions else None


def _sky(epoch: Epoch) -> tuple[list[float], int | None]:
    """Strongest C/N0 of each satellite heard, and satellites in view over all constellations."""
    strongest_dbhz: dict[Name, float] = {}
    in_view: dict[str, int] = {}
    for (talker, _), views in epoch.views.items():
        for view in views:
            if view.satellites_in_view is not None:
                in_view[talker] = max(in_view.get(talker, 0), view.satellites_in_view)
            for satellite, cn0_dbhz in view.cn0_dbhz_by_satellite:
                key = (talker, satellite)
                strongest_dbhz[key] = max(strongest_dbhz.get(key, 0.0), cn0_dbhz)
    return list(strongest_dbhz.values()), sum(in_view.values()) if in_view else None


def _find_first(values: Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value is not None), None)
