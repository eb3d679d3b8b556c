"""Scenario files (TOML): who walks where, which zones there are, what happens to the devices, what the order says.

::

    file, includes --tables--> parameters in place --Scenario--> recorded tracks as waypoints --> checked
"""

from rig.scenario.check import check_scenario
from rig.scenario.load import load_scenario, read_parameters
from rig.scenario.model import Scenario
from rig.scenario.tables import (
    BeaconTable,
    BrokerOutageTable,
    EventTable,
    FaultTable,
    MeetTable,
    Metres,
    OrderTable,
    OriginTable,
    PersonTable,
    ProtectedTable,
    RecordedTrackTable,
    Scalar,
    SmartTagTable,
    SurroundingsTable,
    WaypointTable,
    ZoneTable,
)
from rig.scenario.toml_text import resolve_text

__all__ = [
    "BeaconTable",
    "BrokerOutageTable",
    "EventTable",
    "FaultTable",
    "MeetTable",
    "Metres",
    "OrderTable",
    "OriginTable",
    "PersonTable",
    "ProtectedTable",
    "RecordedTrackTable",
    "Scalar",
    "Scenario",
    "SmartTagTable",
    "SurroundingsTable",
    "WaypointTable",
    "ZoneTable",
    "check_scenario",
    "load_scenario",
    "read_parameters",
    "resolve_text",
]
