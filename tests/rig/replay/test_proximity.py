"""The oracle of recordings: right where receivers are right enough, silent where they are not, and never fooled."""

from dataclasses import replace

import pytest

from protocols.mqtt.messages import AlertKind, BandName
from rig.local_frame import LocalFrame
from rig.replay.proximity import PairJudgement, Rings, Told, judge_pair, measurements
from rig.replay.recorded import Place
from rig.truth.verdict import ReceivedAlert, Verdict

S = 1_000_000_000
FRAME = LocalFrame(51.0, -6.5)
RINGS = Rings(contact_m=50, alarm_m=500, pre_alert_m=1000, exit_margin_m=10)


def places(east_m: list[float], *, every_s: int = 1) -> list[Place]:
    found = []
    for n, east in enumerate(east_m):
        lat, lon = FRAME.to_geodetic(east, 0.0)
        found.append(Place(t_utc_ns=n * every_s * S, lat_deg=lat, lon_deg=lon))
    return found


def ramp(start: float, end: float, mps: float = 10.0) -> list[float]:
    steps = int(abs(end - start) / mps)
    return [start + (end - start) * n / steps for n in range(steps + 1)]


WAY = [*ramp(1500, 0), *ramp(0, 1500)]
"""He comes at 10 m/s from 1.5 km and goes again."""

HERS = [0.0] * len(WAY)


def told(*, error_m: float = 0.0) -> list[tuple[float, BandName]]:
    """Bands as they are due of his way, by distance alone."""
    found: list[tuple[float, BandName]] = []
    for t, east in enumerate(WAY):
        band = RINGS.band_at(abs(east + error_m))
        if not found or found[-1][1] is not band:
            found.append((t + 0.2, band))
    return found


def alerts(bands: list[tuple[float, BandName]]) -> list[ReceivedAlert]:
    both = []
    for t_s, band in bands:
        for side, subject, about in (("tag", "his", "hers"), ("protected", "hers", "his")):
            both.append(
                ReceivedAlert(
                    kind=AlertKind.PROXIMITY_BREACH,
                    cleared=band is BandName.CLEAR,
                    side=side,  # type: ignore[arg-type]
                    subject=subject,
                    zone_id=None,
                    band=None if band is BandName.CLEAR else band,
                    t_s=t_s,
                    index=len(both),
                    about=about,
                )
            )
    return both


def judge(bands: list[tuple[float, BandName]], *, error_m: float = 0.0, max_age_s: float = 120.0) -> PairJudgement:
    truth, hers = places(WAY), places(HERS)
    his = Told(places([east + error_m for east in WAY]), truth, 0)
    return judge_pair(
        "his", "hers", his=his, hers=Told(hers, hers, 0), rings=RINGS, max_age_s=max_age_s, alerts=alerts(bands)
    )


def test_what_is_told_in_time_agrees_with_the_truth_nearly_always() -> None:
    judged = judge(told())
    assert judged.verdict is Verdict.PASS
    assert judged.contradicted_s == 0
    assert judged.decided_share > 0.9
    assert judged.as_true_share > 0.97
    assert judged.nearest_m == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("wrong", range(1, 6))
@pytest.mark.parametrize("late_s", [8.0, 60.0])
def test_any_band_that_comes_late_is_found(wrong: int, late_s: float) -> None:
    bands = told()
    assert len(bands) == 7
    t_s, band = bands[wrong]
    until_s = bands[wrong + 1][0] if wrong + 1 < len(bands) else float("inf")
    bands[wrong] = (min(t_s + late_s, until_s - 0.001), band)
    judged = judge(bands)
    assert judged.verdict is Verdict.FAIL
    assert judged.contradicted_s > 0
    finding = next(each for each in judged.findings if each.verdict is Verdict.FAIL)
    assert "m away" in finding.reason
    assert finding.earliest_s == pytest.approx(t_s, abs=late_s + 12)


@pytest.mark.parametrize("missing", range(1, 6))
def test_any_band_that_does_not_come_is_found(missing: int) -> None:
    bands = told()
    del bands[missing]
    assert judge(bands).verdict is Verdict.FAIL


def test_an_alarm_out_of_nothing_is_found() -> None:
    bands = [*told()[:1], (10.2, BandName.ALARM), (20.2, BandName.CLEAR), *told()[1:]]
    judged = judge(bands)
    assert judged.verdict is Verdict.FAIL
    assert {each.check for each in judged.findings if each.verdict is Verdict.FAIL} == {"silence"}


def test_errors_of_the_receivers_excuse_what_follows_from_them_and_no_more() -> None:
    # A receiver that is 40 m wrong: bands by what it says are right, and so are those by the truth.
    assert judge(told(error_m=40), error_m=40).verdict is Verdict.PASS
    assert judge(told(), error_m=40).verdict is Verdict.PASS
    assert judge(told(error_m=200), error_m=40).verdict is Verdict.FAIL


def test_where_receivers_are_never_right_enough_nothing_is_decided_and_nothing_is_green() -> None:
    judged = judge(told(), error_m=5000)
    assert judged.verdict is Verdict.UNSET
    assert {each.verdict for each in judged.findings} == {Verdict.SKIPPED}
    (against, decides) = measurements([judged])
    assert (against.verdict, decides.verdict) == (Verdict.PASS, Verdict.FAIL)


def test_positions_that_are_too_old_have_no_say() -> None:
    truth = places(WAY)
    his = Told([place for place in truth if not 60 < place.t_utc_ns / S < 240], truth, 0)
    hers = places(HERS)
    bands = [band for band in told() if not 80 < band[0] < 240]
    judged = judge_pair(
        "his", "hers", his=his, hers=Told(hers, hers, 0), rings=RINGS, max_age_s=20.0, alerts=alerts(bands)
    )
    assert judged.contradicted_s == 0
    assert judged.decided_share < 0.5


def test_what_is_told_of_others_and_that_nobody_can_tell_is_not_of_this_pair() -> None:
    strange = [replace(each, about="another") for each in alerts([(1.0, BandName.CONTACT)])]
    unknown = [replace(each, t_s=100.0, band=BandName.UNKNOWN) for each in alerts([(1.0, BandName.ALARM)])]
    truth, hers = places(WAY), places(HERS)
    judged = judge_pair(
        "his",
        "hers",
        his=Told(truth, truth, 0),
        hers=Told(hers, hers, 0),
        rings=RINGS,
        max_age_s=120.0,
        alerts=[*strange, *alerts(told()), *unknown],
    )
    assert judged.verdict is Verdict.PASS
