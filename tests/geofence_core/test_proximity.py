"""Moving pairs: kinematics by hand, probability by an independent quadrature."""

import math

import numpy as np
import pytest
from pyproj import Geod

import geofence_core as gc
from geofence_core.gaussian import p_within, p_within_one
from geofence_core.proximity import _anywhere, _side
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


@pytest.mark.parametrize("aspect", [1.0, 0.3, 0.1, 0.03, 0.01])
@pytest.mark.parametrize("ring", [0.3, 1.0, 2.0, 4.0, 7.0, 8.5, 16.0, 50.0, 200.0, 1_000.0])
def test_probability_near_rings_of_all_sizes(aspect: float, ring: float) -> None:
    """All ways of summing up, across the limits between them; mean in the direction of either axis, and between."""
    rng = np.random.default_rng(int(1_000 * aspect + ring))
    for _ in range(6):
        turn = rng.uniform(0, math.pi)
        axes = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        cov = axes @ np.diag([1.0, aspect**2]) @ axes.T
        away = max(0.0, ring + rng.uniform(-4, 4))
        if abs(away - ring) > ring + 3:
            continue
        bearing = turn + rng.choice([0.0, math.pi / 2, rng.uniform(0, 6)])
        mean = (away * math.cos(bearing), away * math.sin(bearing))
        values = (*mean, cov[0, 0], cov[0, 1], cov[1, 1], ring)
        got = p_within(*(np.array([v]) for v in values))[0]
        if max(-ring, away * math.cos(bearing - turn) - 9) < min(ring, away * math.cos(bearing - turn) + 9):
            assert got == pytest.approx(quadrature(mean, cov, ring), abs=3e-7)
        assert p_within_one(*(float(v) for v in values)) == pytest.approx(got, abs=1e-14)


GEOD = Geod(ellps="WGS84")
FIELDS = tuple(gc.MovingColumns.__dataclass_fields__)


def side(rng: np.random.Generator, lat: np.ndarray, lon: np.ndarray, age_s: float = 5.0) -> gc.MovingColumns:
    n = lat.size
    major = rng.uniform(3, 12, n)
    minor, turn = major * rng.uniform(0.3, 1, n), rng.uniform(0, 3, n)
    c, s = np.cos(turn), np.sin(turn)
    return gc.MovingColumns(
        t_ns=(rng.uniform(-age_s, 0, n) * S).astype(np.int64),
        lat_deg=lat,
        lon_deg=lon,
        velocity_east_mps=rng.normal(0, 3, n),
        velocity_north_mps=rng.normal(0, 3, n),
        var_east_m2=(c * major) ** 2 + (s * minor) ** 2,
        cov_east_north_m2=c * s * (major**2 - minor**2),
        var_north_m2=(s * major) ** 2 + (c * minor) ** 2,
        growth_mps=rng.uniform(0, 1, n),
    )


def both(
    rng: np.random.Generator, n: int, reach_m: float, *, age_s: float = 5.0
) -> tuple[gc.MovingColumns, gc.MovingColumns, np.ndarray]:
    """Pairs anywhere on Earth, the antimeridian and the poles among them, and how far apart they were."""
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-180, 180, n)
    apart = rng.uniform(0, reach_m, n)
    to_lon, to_lat, _ = GEOD.fwd(lon, lat, rng.uniform(0, 360, n), apart)
    return side(rng, lat, lon, age_s), side(rng, np.asarray(to_lat), np.asarray(to_lon), age_s), apart


@pytest.mark.parametrize(
    ("reach_m", "relative"),
    [(100.0, 1.2e-8), (10_000.0, 1.5e-8), (30_000.0, 3.5e-8), (3e5, 2.5e-6), (6e5, 1e-5), (9e6, 1e-5)],
)
def test_separation_against_geodesics(reach_m: float, relative: float) -> None:
    a, b, apart = both(np.random.default_rng(1), 50_000, reach_m, age_s=0.0)
    got = gc.proximity(a, b, at_ns=0, ring_m=500.0).separation_m
    assert (np.abs(got - apart) <= relative * apart + 1e-8).all()


@pytest.mark.parametrize("reach_m", [1_000.0, 30_000.0])
def test_the_plane_of_the_pair_against_vectors(reach_m: float) -> None:
    """Two ways to judge the same pairs: polynomials and the mean latitude, or chords in a's tangent plane."""
    rng = np.random.default_rng(2)
    a, b, apart = both(rng, 20_000, reach_m)
    ring = np.maximum(apart + rng.normal(0, 15, apart.size), 1.0)
    got = gc.proximity(a, b, at_ns=0, ring_m=ring)
    want = proximity_of_vectors(a, b, ring)
    tight = 1e-3 if reach_m < 2_000 else 0.02
    polar = np.abs(a.lat_deg) > 84
    assert np.abs(got.separation_m - want[0])[~polar].max() < tight
    far = (got.separation_m > 50) & ~polar
    assert np.abs(got.closing_mps - want[1])[far].max() < tight
    assert np.abs(got.p_within - want[3])[~polar].max() < tight
    soon = far & (want[2] < 600) & (got.time_to_ring_s < 600)
    assert soon.sum() > 1_000
    assert np.median(np.abs(got.time_to_ring_s[soon] - want[2][soon])) < tight
    assert ((got.p_within > 0.01) & (got.p_within < 0.99)).sum() > 5_000


def proximity_of_vectors(a: gc.MovingColumns, b: gc.MovingColumns, ring: np.ndarray) -> tuple[np.ndarray, ...]:
    return _anywhere(_side(a, 0, None), _side(b, 0, None), 0, ring)


def test_one_pair_equals_the_same_pair_among_many() -> None:
    rng = np.random.default_rng(6)
    parts = [both(rng, 400, reach) for reach in (100.0, 1_000.0, 30_000.0, 9e6)]
    a, b = (gc.MovingColumns(*(np.concatenate([getattr(p[i], f) for p in parts]) for f in FIELDS)) for i in (0, 1))
    apart = np.concatenate([p[2] for p in parts])
    ring = np.maximum(apart + rng.normal(0, 15, apart.size), 0.0)
    many = gc.proximity(a, b, at_ns=0, ring_m=ring, max_age_ns=4 * S)
    rows_a, rows_b = (zip(*(getattr(side, f).tolist() for f in FIELDS), strict=True) for side in (a, b))
    got = np.array(
        [
            gc.proximity_one(gc.Moving(*x), gc.Moving(*y), at_ns=0, ring_m=r, max_age_ns=4 * S)
            for x, y, r in zip(rows_a, rows_b, ring.tolist(), strict=True)
        ]
    ).T
    for one, column in zip(got, (many.separation_m, many.closing_mps, many.time_to_ring_s), strict=False):
        assert np.array_equal(one, column, equal_nan=True)
    assert got[3] == pytest.approx(many.p_within, abs=1e-14, nan_ok=True)
    assert np.isnan(many.separation_m).sum() > 100
    assert ((many.p_within > 0.01) & (many.p_within < 0.99)).sum() > 200
    with pytest.raises(gc.ColumnError, match="ring_m"):
        gc.proximity_one(gc.Moving(*[0] * 9), gc.Moving(*[0] * 9), at_ns=0, ring_m=-1.0)


def test_cutting_the_pairs_changes_no_bit() -> None:
    rng = np.random.default_rng(7)
    a, b, apart = both(rng, 9_001, 2_000.0)
    a.lat_deg[::50] = np.nan
    b.var_east_m2[::70] = -1.0
    ring = np.maximum(apart + rng.normal(0, 15, apart.size), 0.0)
    whole = gc.proximity(a, b, at_ns=0, ring_m=ring)
    for cuts in ([0, 1, 4_095, 4_097, 9_001], list(range(0, 9_001, 600))):
        pieces = [slice(*pair) for pair in zip(cuts, [*cuts[1:], 9_001], strict=True)]
        parts = [
            gc.proximity(
                *(gc.MovingColumns(*(getattr(side, f)[s] for f in FIELDS)) for side in (a, b)), at_ns=0, ring_m=ring[s]
            )
            for s in pieces
        ]
        for name in ("separation_m", "closing_mps", "time_to_ring_s", "p_within"):
            cut = np.concatenate([getattr(p, name) for p in parts])
            assert np.array_equal(cut, getattr(whole, name), equal_nan=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [("var_east_m2", -100.0), ("cov_east_north_m2", 1e4), ("var_north_m2", math.nan), ("var_north_m2", math.inf)],
)
@pytest.mark.parametrize("east_m", [520.0, 20_000.0])
def test_an_impossible_covariance_leaves_all_but_the_probability(field: str, value: float, east_m: float) -> None:
    bad = moving(0)
    getattr(bad, field)[0] = value
    got, good = (gc.proximity(side, moving(east_m), at_ns=0, ring_m=500.0) for side in (bad, moving(0)))
    assert got.separation_m[0] == pytest.approx(good.separation_m[0], rel=1e-8)
    assert got.closing_mps[0] == good.closing_mps[0] == 0.0
    assert np.isnan(got.p_within[0])


def test_two_in_one_place() -> None:
    got = gc.proximity(moving(0, 2.0), moving(0), at_ns=0, ring_m=0.0)
    assert (got.separation_m[0], got.closing_mps[0], got.time_to_ring_s[0], got.p_within[0]) == (0.0, 0.0, 0.0, 0.0)
    assert gc.proximity(moving(0), moving(0), at_ns=0, ring_m=100.0).p_within[0] == 1.0


def test_no_pairs() -> None:
    none = gc.MovingColumns.of(np.zeros(0, np.int64), [], [], sigma_m=[])
    assert gc.proximity(none, none, at_ns=0, ring_m=5.0).p_within.shape == (0,)
