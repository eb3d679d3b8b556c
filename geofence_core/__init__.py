"""Zones, distances and transitions in pure NumPy: arrays in, arrays out.

Latitude before longitude, degrees; metres; integer nanoseconds. Nothing here knows a protocol, a device or a clock.
"""

from geofence_core.assigned import AssignedZones
from geofence_core.crossed import CrossedZones
from geofence_core.ellipsoid import separation_m
from geofence_core.errors import AssignmentError, ColumnError, GeofenceError, ZoneFileError, ZoneGeometryError
from geofence_core.evaluate import FenceState, FixColumns, TransitionKind, Transitions, evaluate
from geofence_core.fence import SingleFence
from geofence_core.pairs import Band, PairTable, PairTransitions, TrackColumns, evaluate_pairs
from geofence_core.proximity import Moving, MovingColumns, Proximity, ProximityOne, proximity, proximity_one
from geofence_core.shapes import Mend, ZoneShape
from geofence_core.zones import FixZoneIds, FixZones, ZoneTable

__all__ = [
    "AssignedZones",
    "AssignmentError",
    "Band",
    "ColumnError",
    "CrossedZones",
    "FenceState",
    "FixColumns",
    "FixZoneIds",
    "FixZones",
    "GeofenceError",
    "Mend",
    "Moving",
    "MovingColumns",
    "PairTable",
    "PairTransitions",
    "Proximity",
    "ProximityOne",
    "SingleFence",
    "TrackColumns",
    "TransitionKind",
    "Transitions",
    "ZoneFileError",
    "ZoneGeometryError",
    "ZoneShape",
    "ZoneTable",
    "evaluate",
    "evaluate_pairs",
    "proximity",
    "proximity_one",
    "separation_m",
]
