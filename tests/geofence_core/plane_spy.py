"""The core's inner kernel, overheard: the plane coordinates it was given, and what GEOS says about the same ones."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import shapely

from geofence_core import listed
from geofence_core.edges import ASK, EdgeTable

F64 = npt.NDArray[np.float64]

ROUNDING_M = 1e-12
"""Rounding of plane coordinates and of what is made of them; metre."""

EXACT_M = 1e-9
"""Most by which a distance may differ from GEOS's on the same plane coordinates; beyond it sides are equal; metre."""


@dataclass(slots=True)
class PlaneSpy:
    """Listens to every call of the kernel while a table of one zone is asked, and compares what it answers.

    What the kernel adds for the bend of drawn edges is left out here: GEOS knows straight edges only.
    """

    points: int = 0
    worst_m: float = 0.0
    other_sides_within_m: float = 0.0
    _heard: list[tuple[F64, F64]] = field(default_factory=list, repr=False)
    _edges: EdgeTable | None = field(default=None, repr=False)
    _boundary: shapely.Geometry | None = field(default=None, repr=False)
    _area: shapely.Geometry | None = field(default=None, repr=False)
    _corners: shapely.Geometry | None = field(default=None, repr=False)
    _sharpest: float = 1.0

    @classmethod
    def on(cls, monkeypatch: pytest.MonkeyPatch) -> "PlaneSpy":
        spy, kernel = cls(), listed.nearest

        def overheard(edges: EdgeTable, *rest: Any, **more: Any) -> Any:
            if edges is not spy._edges:
                spy._meet(edges)
            (point,) = (a for a in rest if isinstance(a, np.ndarray) and a.dtype == np.complex128)
            straight = replace(edges, bulge_per_m=np.zeros_like(edges.bulge_per_m))
            spy._heard.append((point.copy(), kernel(straight, *rest, **more)[0].copy()))
            return kernel(edges, *rest, **more)

        monkeypatch.setattr(listed, "nearest", overheard)
        return spy

    def _meet(self, edges: EdgeTable) -> None:
        """Lay out the zone's boundary as the kernel knows it."""
        assert edges.n_zones == 1
        # The last vertex of a chain starts no edge, so none that has a length ends beyond its chain.
        starts = np.flatnonzero(edges.length_m > 0.0)
        ends = np.stack([edges.at[starts], edges.at[starts + 1]], axis=1)
        segments = np.stack([ends.real, ends.imag], axis=-1)
        self._edges = edges
        is_first = np.diff(starts, prepend=-2) > 1
        before = np.roll(starts, 1)
        before[is_first] = starts[np.roll(is_first, -1)]  # a ring's first edge comes after its last
        turn = edges.unit[before] * edges.unit[starts].conj()
        self._sharpest = float(np.abs(turn.imag[turn.real < 0.0]).min(initial=1.0))
        self._boundary = shapely.MultiLineString(list(segments))
        self._area = shapely.build_area(shapely.line_merge(self._boundary))
        shapely.prepare(self._area)
        touching = edges.at[starts[(edges.code[starts] & 3) == ASK]]
        self._corners = shapely.MultiPoint(np.column_stack([touching.real, touching.imag])) if touching.size else None

    def compare(self) -> None:
        """Compare what was heard since the last call; AssertionError where the kernel is not exact."""
        for point, signed in self._heard:
            places = shapely.points(point.real, point.imag)
            true = shapely.distance(self._boundary, places)
            error = np.abs(np.abs(signed) - true)
            assert error.max() <= EXACT_M, f"|d| off by {error.max()} m at {point[np.argmax(error)]}"
            other = np.flatnonzero((signed <= 0.0) != shapely.intersects_xy(self._area, point.real, point.imag))
            if other.size and self._corners is not None:
                # Where rings touch the kernel does not tell the side; it says so, and the drawing is asked.
                other = other[shapely.distance(self._corners, places[other]) > true[other] + EXACT_M]
            self.points += signed.size
            self.worst_m = max(self.worst_m, float(error.max()))
            self.other_sides_within_m = max(self.other_sides_within_m, float(true[other].max(initial=0.0)))
            # In the tip of a sliver two edges with opposite sides are equally near to within rounding; those who ask
            # the kernel take its side only further out (`edges.ASK_M`).
            assert self.other_sides_within_m <= max(EXACT_M, ROUNDING_M / self._sharpest), (
                f"wrong side {self.other_sides_within_m} m off at {point[other][np.argmax(true[other])]}"
            )
        self._heard.clear()
