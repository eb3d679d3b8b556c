"""What is found beyond doubt for many zones at once is what the checks zone by zone take as it is."""

import numpy as np
import pytest
import shapely

import geofence_core as gc
from geofence_core import geojson
from geofence_core.clean import clean
from geofence_core.shapes import DrawnShapes, ZoneShape
from geofence_core.validate import check
from tests.geofence_core.drawing import collection, polygon
from tests.geofence_core.random_zones import KINDS, random_zone
from tests.geofence_core.test_zone_validation import FAULTS, SQUARE


def read(*features: dict[str, object]) -> list[ZoneShape]:
    return geojson.read(collection(*features))


def test_clean_zones_are_taken_as_they_are() -> None:
    rng = np.random.default_rng(23)
    drawn = [
        random_zone(rng, kind, float(rng.uniform(-80, 80)), float(rng.uniform(-170, 170)), 10.0 ** rng.uniform(0, 5))
        for kind in KINDS * 6
    ]
    shapes = read(*(zone.feature(str(k)) for k, zone in enumerate(drawn)))
    found = clean(DrawnShapes.of(shapes).arrays)
    areas = np.array([shape.kind in ("polygon", "multipolygon") for shape in shapes])
    assert found[areas].mean() > 0.9
    assert not found[~areas].any()
    for shape in (s for s, good in zip(shapes, found, strict=True) if good):
        checked, mends = check(shape)
        assert not mends
        assert checked.kind == shape.kind
        for before, after in zip(shape.polygons, checked.polygons, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_no_fault_is_clean(fault: tuple[str, dict[str, object], object, object, str, object]) -> None:
    try:
        shapes = read(polygon(SQUARE, zone_id="before"), fault[1], polygon(SQUARE, zone_id="after"))
    except gc.ZoneGeometryError:
        return  # refused where it is read
    assert clean(DrawnShapes.of(shapes).arrays).tolist() == [True, False, True]


def test_geometries_taken_in_bulk_are_those_taken_one_by_one() -> None:
    square = shapely.Polygon(SQUARE[::-1], [[[10.2, 50.2], [10.4, 50.2], [10.4, 50.4], [10.2, 50.2]]])
    many = [
        square,
        shapely.MultiPolygon([square, shapely.box(12, 50, 13, 51)]),
        shapely.MultiPolygon([shapely.box(20, 50, 21, 51)]),
        shapely.MultiPolygon([shapely.Polygon(), shapely.box(22, 50, 23, 51)]),
    ]
    for count in (3, 4):  # the fourth has a part without positions, which the bulk leaves to the other way
        table = gc.ZoneTable.from_shapely(many[:count], map(str, range(count)))
        for k, shape in enumerate(table.shapes):
            (alone,) = gc.ZoneTable.from_shapely(many[k : k + 1], [str(k)]).shapes
            assert shape.kind == alone.kind
            for a, b in zip(shape.polygons, alone.polygons, strict=True):
                assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert gc.ZoneTable.from_shapely(many, map(str, range(4))).kinds == (
        "polygon",
        "multipolygon",
        "polygon",
        "polygon",
    )
