"""CAP 1.2: each message against the rules of the standard (order, number and values of elements, patterns)."""

import re
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from protocols.cap import NAMESPACE, cap_time, cap_xml
from protocols.mqtt.messages import (
    AlertKind,
    BandName,
    Delivery,
    Evidence,
    IncidentData,
    IncidentEvent,
    MsgType,
    PartyBand,
    Point,
    Position,
    PositionProperties,
    ZoneRef,
)

# Name, least and largest number, values or pattern; in the order of the standard's schema.
ONE, MAYBE, ANY, SOME = (1, 1), (0, 1), (0, 10**6), (1, 10**6)
NAME = r"[^\s,<&]+"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d"
TEXT = r"(?s).+"
ALERT = (
    ("identifier", ONE, NAME),
    ("sender", ONE, NAME),
    ("sent", ONE, TIME),
    ("status", ONE, "Actual|Exercise|System|Test|Draft"),
    ("msgType", ONE, "Alert|Update|Cancel|Ack|Error"),
    ("source", MAYBE, TEXT),
    ("scope", ONE, "Public|Restricted|Private"),
    ("restriction", MAYBE, TEXT),
    ("addresses", MAYBE, r'("[^"]+"|\S+)( ("[^"]+"|\S+))*'),
    ("code", ANY, TEXT),
    ("note", MAYBE, TEXT),
    ("references", MAYBE, rf"{NAME},{NAME},{TIME}( {NAME},{NAME},{TIME})*"),
    ("incidents", MAYBE, TEXT),
    ("info", ANY, None),
)
INFO = (
    ("language", MAYBE, r"[a-z]{2}(-[A-Z]{2})?"),
    ("category", SOME, "Geo|Met|Safety|Security|Rescue|Fire|Health|Env|Transport|Infra|CBRNE|Other"),
    ("event", ONE, TEXT),
    ("responseType", ANY, "Shelter|Evacuate|Prepare|Execute|Avoid|Monitor|Assess|AllClear|None"),
    ("urgency", ONE, "Immediate|Expected|Future|Past|Unknown"),
    ("severity", ONE, "Extreme|Severe|Moderate|Minor|Unknown"),
    ("certainty", ONE, "Observed|Likely|Possible|Unlikely|Unknown"),
    ("audience", MAYBE, TEXT),
    ("eventCode", ANY, None),
    ("effective", MAYBE, TIME),
    ("onset", MAYBE, TIME),
    ("expires", MAYBE, TIME),
    ("senderName", MAYBE, TEXT),
    ("headline", MAYBE, TEXT),
    ("description", MAYBE, TEXT),
    ("instruction", MAYBE, TEXT),
    ("web", MAYBE, TEXT),
    ("contact", MAYBE, TEXT),
    ("parameter", ANY, None),
    ("resource", ANY, None),
    ("area", ANY, None),
)
PARAMETER = (("valueName", ONE, TEXT), ("value", ONE, TEXT))
NUMBER = r"-?\d+(\.\d+)?"
AREA = (
    ("areaDesc", ONE, TEXT),
    ("polygon", ANY, TEXT),
    ("circle", ANY, rf"{NUMBER},{NUMBER} {NUMBER}"),
    ("geocode", ANY, None),
    ("altitude", MAYBE, NUMBER),
    ("ceiling", MAYBE, NUMBER),
)
BELOW = {"info": INFO, "parameter": PARAMETER, "area": AREA}


def check(element: ElementTree.Element, rules: tuple) -> None:  # type: ignore[type-arg]
    names = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in element]
    order = [name for name, _, _ in rules]
    assert set(names) <= set(order), names
    assert names == sorted(names, key=order.index), names
    for name, (least, most), pattern in rules:
        found = [child for child in element if child.tag == f"{{{NAMESPACE}}}{name}"]
        assert least <= len(found) <= most, name
        for child in found:
            if pattern is None:
                check(child, BELOW[name])
            else:
                assert re.fullmatch(pattern, child.text or ""), (name, child.text)


def checked(event: IncidentEvent) -> ElementTree.Element:
    text = cap_xml(event, sender="urn:em:agency-12:bridge-3", addresses=("agency-12",))
    root = ElementTree.fromstring(text)
    assert root.tag == f"{{{NAMESPACE}}}alert"
    check(root, ALERT)
    if root.findtext(f"{{{NAMESPACE}}}msgType") != "Alert":
        assert root.find(f"{{{NAMESPACE}}}references") is not None
    return root


def text_of(root: ElementTree.Element, path: str) -> list[str]:
    return [found.text or "" for found in root.findall("/".join(f"{{{NAMESPACE}}}{part}" for part in path.split("/")))]


DATA = IncidentData(
    incident_id="INC-01M82TKXKA7YY11SSKM5Y4C8Y3",
    msg_type=MsgType.UPDATE,
    state="updated",
    status="Actual",
    references=("01M82TKXKA7YY11SSKM5Y4C8Y3", "01M82TKXKA7YY11SSKM5Y4C8Y4"),
    cause=AlertKind.PROXIMITY_BREACH,
    severity="Extreme",
    urgency="Immediate",
    certainty="Observed",
    tag="tag-4711",
    zone=None,
    protected_party=PartyBand(ref="pp-17", band=BandName.ALARM),
    opened_at="2026-11-22T20:30:59.870Z",
    updated_at="2026-11-22T20:31:59.999Z",
    closed_at=None,
    occurrences=2,
    reason="band alarm",
    position=Position(
        geometry=Point(coordinates=(-1.257726, 51.752022, 72.1)),
        properties=PositionProperties(
            time=None,
            accuracy_m=4.2,
            accuracy_rule=None,
            speed_mps=None,
            course_deg=None,
            fix="gnss",
            date_rule="sent",
            stored=False,
            late=False,
        ),
    ),
    acknowledged_at=None,
    acknowledged_by=None,
    evidence=(
        Evidence(
            source="urn:em:agency-12:bridge-3:tag:tag-4711",
            id="01M82TKXKA7YY11SSKM5Y4C8Y3",
            sequence="00000000000000000042",
            kind=AlertKind.PROXIMITY_BREACH,
            msg_type=MsgType.ALERT,
            at="2026-11-22T20:30:59.870Z",
        ),
    ),
    evidence_left_out=3,
    delivery=Delivery(attempt=1, durable=True, epoch="E"),
)
EVENT = IncidentEvent(
    specversion="1.0",
    id="01M82TKXKA7YY11SSKM5Y4C8Y5",
    source="urn:em:agency-12:bridge-3:control:tag-4711:incident",
    type="org.example.em.control.incident.v1",
    subject="control/tag-4711",
    time="2026-11-22T20:31:59.999Z",
    datacontenttype="application/json",
    sequence="00000000000000000002",
    priority="alert",
    data=DATA,
)


def test_an_update_names_the_first_message_and_the_place() -> None:
    root = checked(EVENT)
    assert text_of(root, "scope") == ["Private"]
    assert text_of(root, "sent") == ["2026-11-22T20:31:59-00:00"]
    assert text_of(root, "references") == [
        "urn:em:agency-12:bridge-3,01M82TKXKA7YY11SSKM5Y4C8Y3,2026-11-22T20:30:59-00:00"
    ]
    assert text_of(root, "info/area/circle") == ["51.7520220,-1.2577260 0.008"]
    assert text_of(root, "info/responseType") == ["Assess"]
    assert "pp-17" in text_of(root, "info/parameter/value")


@pytest.mark.parametrize("kind", AlertKind)
@pytest.mark.parametrize("step", MsgType)
def test_every_cause_and_step_is_valid(kind: AlertKind, step: MsgType) -> None:
    states = {MsgType.ALERT: "opened", MsgType.UPDATE: "updated", MsgType.CANCEL: "closed"}
    data = replace(
        DATA,
        cause=kind,
        msg_type=step,
        state=states[step],
        references=() if step is MsgType.ALERT else DATA.references,
        position=None,
        protected_party=None,
        zone=ZoneRef(id="z-88", type="exclusion", name=None),
        closed_at="2026-11-22T21:31:59.999Z" if step is MsgType.CANCEL else None,
        acknowledged_by="sergeant 7",
        acknowledged_at="2026-11-22T20:40:00.000Z",
    )
    root = checked(replace(EVENT, data=data))
    assert text_of(root, "info/responseType") == ["AllClear" if step is MsgType.CANCEL else "Assess"]
    assert text_of(root, "info/area/circle") == []


def test_what_a_device_said_cannot_break_the_document() -> None:
    reason = "</info><info>& \x00\x1b \ud800 ]]>"
    zone = ZoneRef(id="z", type="exclusion", name="<School & \x07Park>")
    root = checked(replace(EVENT, data=replace(DATA, reason=reason, zone=zone)))
    assert text_of(root, "info/description") == ["</info><info>& ?? ? ]]>"]
    assert "School & ?Park" in text_of(root, "info/area/areaDesc")[0]


def test_an_address_with_a_space_is_quoted() -> None:
    text = cap_xml(EVENT, sender="s", addresses=("force control", "b"))
    assert text_of(ElementTree.fromstring(text), "addresses") == ['"force control" b']


@pytest.mark.parametrize(
    ("sender", "addresses"), [("", ("a",)), ("a b", ("a",)), ("a,b", ("a",)), ("a&b", ("a",)), ("s", ())]
)
def test_what_the_standard_forbids_is_refused(sender: str, addresses: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="CAP"):
        cap_xml(EVENT, sender=sender, addresses=addresses)


def test_times_have_whole_seconds_and_an_offset() -> None:
    assert cap_time("2026-11-22T20:30:59.999Z") == "2026-11-22T20:30:59-00:00"
    assert cap_time("2026-11-22T22:30:59+02:00") == "2026-11-22T20:30:59-00:00"
