"""What GEOS says about small zones: side on the rings as drawn, distance in a projected plane round the zone.

Nothing here is shared with the code under test: PROJ's transverse Mercator (scale 1 on the zone's own meridian), GEOS's
predicates and distances. The drawn edges are cut into straight pieces so short that `SAG_M` bounds what they leave out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from geofence_core.edges import BEND_LIMIT_M
from tests.geofence_core.hard_points import metres_per_degree

F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

SAG_M = 2e-6
"""Most that a drawn edge may leave the pieces it is cut into; metre. A fifth of the bound that is tested."""

SIDE_M = 1e-6
"""Fixes further than this from the drawn boundary must be on the right side; metre."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawnZone:
    """A zone of some hundred metres: ``drawn`` within +-180 degrees, ``unrolled`` running on beyond."""

    name: str
    drawn: shapely.Geometry
    unrolled: shapely.Geometry
    proj: pyproj.Proj
    boundary: shapely.Geometry

    @classmethod
    def of(cls, name: str, unrolled: shapely.Geometry) -> "DrawnZone":
        """Cut the zone at the antimeridian, if it runs on beyond 180 degrees, and project its boundary."""
        lon, lat = shapely.get_coordinates(shapely.envelope(unrolled).centroid)[0]
        proj = pyproj.Proj(f"+proj=tmerc +lat_0={lat:.17g} +lon_0={lon:.17g} +k_0=1 +ellps=WGS84")
        lines = [ring for part in shapely.get_parts(unrolled) for ring in (part.exterior, *part.interiors)]
        longest_m = np.sqrt(8 * 6.35e6 * SAG_M / max(abs(np.tan(np.radians(lat))), 1e-3))
        pieces = [_project(proj, _cut(shapely.get_coordinates(line), longest_m)) for line in lines]
        boundary = shapely.MultiLineString(pieces)
        shapely.prepare(unrolled)
        return cls(name, within_180(unrolled), unrolled, proj, boundary)

    @property
    def rings(self) -> list[F64]:
        return [*self.shells, *self.holes]

    @property
    def shells(self) -> list[F64]:
        return [shapely.get_coordinates(p.exterior) for p in shapely.get_parts(self.unrolled)]

    @property
    def holes(self) -> list[F64]:
        return [shapely.get_coordinates(h) for p in shapely.get_parts(self.unrolled) for h in p.interiors]

    @property
    def scale_m(self) -> F64:
        return metres_per_degree(float(shapely.get_coordinates(shapely.envelope(self.unrolled).centroid)[0, 1]))

    def inside(self, lat: F64, lon: F64) -> Bool:
        """In the zone as drawn, or on its boundary."""
        return np.asarray(shapely.intersects_xy(self.unrolled, lon, lat))

    def boundary_m(self, lat: F64, lon: F64) -> F64:
        """Distance to the drawn boundary; exact to `SAG_M` plus 1 part in 10^8 within 900 m of the zone's middle."""
        return np.asarray(shapely.distance(self.boundary, shapely.points(*self.proj(lon, lat))))

    def hair_m(self, lat: F64, lon: F64) -> F64:
        """Distance to the rings as drawn, for fixes at most a millimetre off: degrees, scaled; exact to 1e-8 m."""
        middle = np.array(self.unrolled.bounds).reshape(2, 2).mean(axis=0)
        rings = shapely.transform(shapely.boundary(self.unrolled), lambda xy: (xy - middle) * self.scale_m)
        return np.asarray(
            shapely.distance(rings, shapely.points((np.column_stack([lon, lat]) - middle) * self.scale_m))
        )


def _cut(line: F64, longest_m: float) -> F64:
    """Points along a drawn line, evenly on each edge and no further apart than so many metres."""
    scale = metres_per_degree(float(line[0, 1]))
    count = np.maximum(np.ceil(np.hypot(*(np.diff(line, axis=0) * scale).T) / longest_m), 1).astype(np.int64)
    edge = np.repeat(np.arange(count.size), count)
    t = (np.arange(edge.size) - (np.cumsum(count) - count)[edge]) / count[edge]
    return np.concatenate([line[edge] + t[:, None] * np.diff(line, axis=0)[edge], line[-1:]])


def _project(proj: pyproj.Proj, line: F64) -> F64:
    return np.column_stack(proj(line[:, 0], line[:, 1]))


def within_180(unrolled: shapely.Geometry) -> shapely.Geometry:
    """Cut what runs on beyond longitude 180 there, and bring it back to -180."""
    if unrolled.bounds[2] <= 180.0:
        return unrolled
    west = shapely.intersection(unrolled, shapely.box(-180, -90, 180, 90))
    beyond = shapely.intersection(unrolled, shapely.box(180, -90, 540, 90))
    east = shapely.transform(beyond, lambda xy: xy - [360.0, 0.0])
    return shapely.MultiPolygon([*shapely.get_parts(west), *shapely.get_parts(east)])


@dataclass(slots=True)
class Tally:
    """What a run of comparisons found; figures in metres. Its methods raise AssertionError where a bound is broken."""

    sides: int = 0
    other_sides: int = 0
    other_sides_within_m: float = 0.0
    measured: int = 0
    in_band: int = 0
    worst_in_band_m: float = 0.0
    tied: int = 0
    worst_bound_excess_m: float = -np.inf
    least_bound_m: float = np.inf

    def add_sides(self, zone: DrawnZone, lat: F64, lon: F64, got_m: F64) -> None:
        """Compare the sides of signed distances with GEOS's on the rings as drawn."""
        assert not np.isnan(got_m).any()
        other = np.flatnonzero((got_m <= 0.0) != zone.inside(lat, lon))
        hair_m = zone.hair_m(lat[other], lon[other])
        self.sides += lat.size
        self.other_sides += other.size
        self.other_sides_within_m = max(self.other_sides_within_m, float(hair_m.max(initial=0.0)))
        bad = other[hair_m > SIDE_M]
        assert not bad.size, f"wrong side {hair_m.max()} m from the boundary at {_places(lat, lon, bad)}"

    def add_distances(self, zone: DrawnZone, lat: F64, lon: F64, got_m: F64, band_m: float) -> None:
        """Compare sizes with the projected truth: exact in band, beyond it between the band and the truth."""
        truth_m = zone.boundary_m(lat, lon)
        size = np.abs(got_m)
        # Within the truth's own error of the band either answer is right: exact, or a bound.
        slack = 1e-5 + 1e-7 * truth_m
        near = truth_m <= band_m - slack
        error = np.abs(size - truth_m)
        self.measured += truth_m.size
        self.in_band += int(near.sum())
        self.worst_in_band_m = max(self.worst_in_band_m, float(error[near].max(initial=0.0)))
        # Of two bent edges that are equally near to within their bend either may be taken.
        self.tied += int((near & (error > slack)).sum())
        bad = np.flatnonzero(near & (error > slack + 2 * BEND_LIMIT_M))
        assert not bad.size, f"|d| off by {error[bad].max()} m at {_places(lat, lon, bad)}"

        far = truth_m > band_m + slack
        # The projection stretches lengths by x^2 / 2 R^2: 1.2e-5 at 30 km.
        excess = size[far] - truth_m[far] * (1 + (truth_m[far] + 1_000.0) ** 2 / 8e13)
        self.worst_bound_excess_m = max(self.worst_bound_excess_m, float(excess.max(initial=-np.inf)))
        self.least_bound_m = min(self.least_bound_m, float(size[far].min(initial=np.inf)))
        assert self.worst_bound_excess_m <= 1e-5, f"bound {self.worst_bound_excess_m} m above the true distance"
        assert self.least_bound_m >= band_m, f"bound {self.least_bound_m} m below the band of {band_m} m"


def _places(lat: F64, lon: F64, at: npt.NDArray[np.int64]) -> str:
    return ", ".join(f"({float(lat[i])!r}, {float(lon[i])!r})" for i in at[:3])
