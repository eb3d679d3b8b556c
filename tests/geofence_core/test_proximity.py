"""Moving pairs: kinematics by hand, probability by an independent quadrature."""

import math

import numpy as np
import pytest

import geofence_core as gc
from geofence_core.gaussian import p_within
from tests.geofence_core.drawing import metres

S = 1_000_000_000


def moving(
    east_m: float, v_east: float = 0.0, *, t_ns: int = 0, sigma: float = 5.0, growth: float = 0.0, lat: float = 53.0
) -> gc.MovingColumns:
    at = metres(lat, -2.0, east_m, 0.0)
    return gc.MovingColumns.of([t_ns], [at[0]], [at[1]], sigma_m=sigma, velocity_east_mps=v_east, growth_mps=growth)


def test_closing_in_head_on() -> None:
    got = gc.proximity(moving(0, 2.0), moving(1_000, -3.0), at_ns=0, ring_m=500.0)
    apart = got.separation_m[0]
    assert apart == pytest.approx(1_000, rel=0.005)
    assert got.closing_mps[0] == pytest.approx(5.0, abs=1e-5)
    assert got.time_to_ring_s[0] == pytest.approx((apart - 500) / 5.0, abs=1e-3)
    assert got.p_within[0] == 0.0


def test_moving_apart_never_reaches_the_ring_and_within_it_the_time_is_zero() -> None:
    assert gc.proximity(moving(0, -2.0), moving(1_000), at_ns=0, ring_m=500.0).time_to_ring_s[0] == math.inf
    inside = gc.proximity(moving(0, -2.0), moving(100), at_ns=0, ring_m=500.0)
    assert inside.time_to_ring_s[0] == 0.0
    assert inside.p_within[0] == 1.0
    assert inside.closing_mps[0] < 0


def test_passing_by_outside_the_ring_never_reaches_it() -> None:
    b = gc.MovingColumns.of([0], [53.01], [-2.05], sigma_m=5.0, velocity_east_mps=20.0)
    assert gc.proximity(moving(0), b, at_ns=0, ring_m=500.0).time_to_ring_s[0] == math.inf
    assert 100 < gc.proximity(moving(0), b, at_ns=0, ring_m=1_500.0).time_to_ring_s[0] < 200


def test_both_are_carried_to_one_time() -> None:
    a, b = moving(0, 2.0, t_ns=0), moving(1_000, -3.0, t_ns=40 * S)
    got = gc.proximity(a, b, at_ns=60 * S, ring_m=10.0)
    want = gc.separation_m(53.0, -2.0, *metres(53.0, -2.0, 1_000, 0.0))[0] - 60 * 2.0 - 20 * 3.0
    assert got.separation_m[0] == pytest.approx(want, abs=1e-3)


def test_uncertainty_grows_with_age_and_age_has_an_end() -> None:
    fresh = gc.proximity(moving(0), moving(520), at_ns=0, ring_m=500.0).p_within[0]
    old = gc.proximity(moving(0, growth=2.0), moving(520, growth=2.0), at_ns=10 * S, ring_m=500.0).p_within[0]
    assert fresh < 0.01 < 0.2 < old < 0.5
    gone = gc.proximity(moving(0), moving(520), at_ns=10 * S, ring_m=500.0, max_age_ns=9 * S)
    assert np.isnan([gone.separation_m[0], gone.closing_mps[0], gone.time_to_ring_s[0], gone.p_within[0]]).all()


def test_the_order_of_a_pair_does_not_matter() -> None:
    """Also near a pole, where both sides' east point in different directions."""
    for lat in (0.0, 53.0, 89.9):
        a, b = moving(0, 2.0, lat=lat), moving(700, -3.0, lat=lat)
        ab, ba = gc.proximity(a, b, at_ns=5 * S, ring_m=690.0), gc.proximity(b, a, at_ns=5 * S, ring_m=690.0)
        assert ab.separation_m[0] == pytest.approx(ba.separation_m[0], abs=0.01)
        assert ab.closing_mps[0] == pytest.approx(ba.closing_mps[0], abs=1e-3)
        assert ab.p_within[0] == pytest.approx(ba.p_within[0], abs=1e-3)


def test_an_unknown_velocity_leaves_what_needs_none() -> None:
    got = gc.proximity(moving(0, math.nan), moving(600), at_ns=0, ring_m=500.0)
    assert got.separation_m[0] == pytest.approx(600, rel=0.005)
    assert np.isnan(got.closing_mps[0])
    assert np.isnan(got.time_to_ring_s[0])
    assert got.p_within[0] < 0.01
    late = gc.proximity(moving(0, math.nan), moving(600), at_ns=S, ring_m=500.0)
    assert np.isnan(late.separation_m[0])


def test_pairs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(gc.ColumnError, match="as many rows"):
        gc.proximity(moving(0), gc.MovingColumns.of([0, 0], [1, 1], [1, 1], sigma_m=1.0), at_ns=0, ring_m=1.0)
    with pytest.raises(gc.ColumnError, match="ring_m"):
        gc.proximity(moving(0), moving(1), at_ns=0, ring_m=-1.0)


def quadrature(mean: tuple[float, float], cov: np.ndarray, ring: float) -> float:
    """The same probability, axes exchanged: fine midpoints along the major axis, erf along the minor one."""
    values, axes = np.linalg.eigh(cov)
    minor, major = np.sqrt(values)
    b, a = axes.T @ np.array(mean)
    low, high = max(-ring, a - 9 * major), min(ring, a + 9 * major)
    n = 40_000
    phi = (np.arange(n) + 0.5) / n * (math.asin(high / ring) - math.asin(low / ring)) + math.asin(low / ring)
    x, half = ring * np.sin(phi), ring * np.cos(phi)
    erf = np.vectorize(math.erf)
    inner = 0.5 * (erf((half - b) / minor / math.sqrt(2)) - erf((-half - b) / minor / math.sqrt(2)))
    weight = np.exp(-0.5 * ((x - a) / major) ** 2) / (major * math.sqrt(2 * math.pi))
    return float((inner * weight * half).sum() * (math.asin(high / ring) - math.asin(low / ring)) / n)


def test_probability_equals_an_independent_quadrature() -> None:
    rng = np.random.default_rng(4)
    for _ in range(60):
        major = float(10 ** rng.uniform(0, 2))
        minor = major * float(10 ** rng.uniform(-1.5, 0))
        turn, bearing = rng.uniform(0, math.pi), rng.uniform(0, 2 * math.pi)
        axes = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        cov = axes @ np.diag([major**2, minor**2]) @ axes.T
        ring = major * float(10 ** rng.uniform(-1, 2))
        away = max(0.0, ring + rng.uniform(-4, 4) * major)
        mean = (away * math.cos(bearing), away * math.sin(bearing))
        got = p_within(*(np.array([v]) for v in (*mean, cov[0, 0], cov[0, 1], cov[1, 1], ring)))[0]
        assert got == pytest.approx(quadrature(mean, cov, ring), abs=1e-6)


@pytest.mark.parametrize(
    ("args", "want"),
    [
        ((0.0, 0.0, 25.0, 0.0, 25.0, 0.0), 0.0),
        ((3.0, 0.0, 0.0, 0.0, 0.0, 5.0), 1.0),
        ((7.0, 0.0, 0.0, 0.0, 0.0, 5.0), 0.0),
        ((0.0, 0.0, 100.0, 100.0, 100.0, 30.0), math.erf(30 / math.sqrt(200) / math.sqrt(2))),
        ((0.0, 0.0, -1.0, 0.0, 1.0, 5.0), math.nan),
        ((0.0, 0.0, 1.0, 2.0, 1.0, 5.0), math.nan),
        ((math.nan, 0.0, 1.0, 0.0, 1.0, 5.0), math.nan),
        ((0.0, 0.0, 1.0, math.inf, 1.0, 5.0), math.nan),
    ],
)
def test_probability_at_its_edges(args: tuple[float, ...], want: float) -> None:
    got = p_within(*(np.array([v]) for v in args))[0]
    assert got == pytest.approx(want, abs=1e-6, nan_ok=True)
