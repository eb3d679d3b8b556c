"""The documents of the contract: they are what the structs say, and all samples follow them."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner

from protocols.mqtt import messages as m
from protocols.mqtt.commands import COMMANDS, Command, command_name
from protocols.mqtt.ids import sequence_text
from protocols.mqtt.samples import SampleNames, command_samples, samples
from protocols.mqtt.schema import asyncapi, contract_files, json_schemas, sample_files, walk_properties
from protocols.mqtt.table import CHANNELS, Direction
from protocols.mqtt.topics import Side, Stream, find_topic
from rig.cli import contract
from rig.cli.exit_codes import ExitCode

SAMPLES = list(samples())
SCHEMAS: dict[str, Any] = json_schemas()
DOCUMENT: dict[str, Any] = asyncapi()


def validator(schema: Any) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


VALIDATORS = {name: validator(schema) for name, schema in SCHEMAS.items()}


def test_documents_in_the_package_are_what_the_structs_say() -> None:
    folder = files("protocols.mqtt") / "contract"
    for name, body in contract_files().items():
        assert (folder / name).read_bytes() == body, (
            f"{name} is old. Next: tagrig contract --write protocols/mqtt/contract"
        )
    there = {f"schemas/{each.name}" for each in (folder / "schemas").iterdir()} | {"asyncapi.json"}
    assert there == set(contract_files())


def test_every_sample_follows_its_schema_and_its_struct() -> None:
    for sample in SAMPLES:
        VALIDATORS[sample.channel.name].validate(json.loads(sample.body))
        assert sample.channel.body is not None
        read = msgspec.json.decode(sample.body, type=sample.channel.body)
        assert sample.event is None or read == sample.event
        topic = find_topic(sample.topic)
        assert topic is not None and (topic.side, topic.stream) == (sample.channel.side, sample.channel.stream)
        assert len(sample.body) <= m.MAX_PAYLOAD_BYTES


def test_samples_leave_nothing_out() -> None:
    alerts = {(s.event.data.kind, s.event.data.msg_type) for s in SAMPLES if isinstance(s.event, m.AlertEvent)}
    hers = {(s.event.data.kind, s.event.data.msg_type) for s in SAMPLES if isinstance(s.event, m.ProtectedAlertEvent)}
    assert {(kind, step) for kind in m.AlertKind for step in m.MsgType} == alerts | hers
    assert {s.event.data.step for s in SAMPLES if isinstance(s.event, m.WarningEvent)} == set(m.WarningStep)
    assert {s.channel.name for s in SAMPLES} == {each.name for each in CHANNELS if each.stream is not Stream.COMMAND}
    results = {type(s.event.data.result) for s in SAMPLES if isinstance(s.event, m.ReplyEvent)}
    assert set(m.ReplyResult.__args__) <= results  # type: ignore[attr-defined]
    states = {s.event.data.state for s in SAMPLES if isinstance(s.event, m.ReplyEvent)}
    assert states == {"accepted", "done", "refused", "failed"}
    assert {command_name(each) for each in command_samples()} == set(COMMANDS)


def test_streams_of_the_samples_have_no_gap_and_no_id_twice() -> None:
    numbers: dict[str, list[str]] = {}
    for sample in SAMPLES:
        if sample.event is not None:
            numbers.setdefault(sample.event.source, []).append(sample.event.sequence)
    for found in numbers.values():
        assert found == [sequence_text(n) for n in range(1, len(found) + 1)]
    ids = [sample.event.id for sample in SAMPLES if sample.event is not None]
    assert len(set(ids)) == len(ids)
    assert [each.body for each in samples()] == [each.body for each in SAMPLES], "the same inputs, the same bytes"


def test_updates_refer_to_events_that_were_sent() -> None:
    seen: set[str] = set()
    for sample in SAMPLES:
        if isinstance(sample.event, m.AlertEvent | m.ProtectedAlertEvent | m.IncidentEvent):
            data = sample.event.data
            assert set(data.references) <= seen
            opens = data.msg_type is m.MsgType.ALERT
            assert bool(data.references) is not opens
            own = data.incident_id if isinstance(data, m.IncidentData) else data.alert_id
            assert own == (sample.event.id if opens else data.references[0])
            seen.add(sample.event.id)


def test_names_of_the_samples_can_be_chosen() -> None:
    names = SampleNames(agency="force-9", bridge_id="bridge-1-2of8", root="em/v1/x", consumer="desk")
    made = list(samples(names))
    assert {each.topic.rsplit("/", 3)[0] for each in made} == {"em/v1/x"}
    assert "em/v1/x/provider/desk/status" in {each.topic for each in made}
    assert {each.event.source.split(":")[2:4] == ["force-9", "bridge-1-2of8"] for each in made if each.event} == {True}


@pytest.mark.parametrize("command", command_samples(), ids=command_name)
def test_every_command_follows_its_schema_and_no_field_may_be_misspelt(command: Command) -> None:
    body = msgspec.json.encode(command)
    VALIDATORS["command"].validate(json.loads(body))
    assert msgspec.json.decode(body, type=Command) == command
    tree = json.loads(body) | {"intervall_s": 1}
    assert not VALIDATORS["command"].is_valid(tree)
    with pytest.raises(msgspec.ValidationError, match="unknown field `intervall_s`"):
        msgspec.convert(tree, type=Command)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("id",), None),
        (("specversion",), "0.3"),
        (("sequence",), "42"),
        (("data", "kind"), "made_up"),
        (("data", "severity"), "Worst"),
        (("data", "position", "geometry", "type"), "LineString"),
        (("data", "delivery", "attempt"), "1"),
    ],
)
def test_schema_refuses_what_the_struct_refuses(path: tuple[str, ...], value: object) -> None:
    sample = next(each for each in SAMPLES if isinstance(each.event, m.AlertEvent))
    tree = node = json.loads(sample.body)
    for key in path[:-1]:
        node = node[key]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    assert not VALIDATORS["tag_alert"].is_valid(tree)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(tree), type=m.AlertEvent)


def test_no_schema_of_the_wearers_side_has_a_place_for_where_she_is() -> None:
    forbidden = re.compile("distance|bearing|separation|proximity|protected_position|smart_tag|warning")
    for channel in CHANNELS:
        if channel.side in {Side.TAG, Side.CONTROL}:
            found = {name for name in walk_properties(SCHEMAS[channel.name]) if forbidden.search(name)}
            assert not found, channel
    assert {"distance_m", "bearing_deg"} <= set(walk_properties(SCHEMAS["protected_alert"]))


def refs(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


def resolve(ref: str) -> Any:
    node: Any = DOCUMENT
    assert ref.startswith("#/"), ref
    for part in ref[2:].split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    found = set(refs(DOCUMENT))
    for ref in found:
        assert isinstance(resolve(ref), dict)
    unused = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]} - found
    assert unused == {"#/components/schemas/Claims", "#/components/schemas/Command"}, (
        "what a token holds is named in words"
    )


def test_asyncapi_document_keeps_its_own_rules() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert set(DOCUMENT["channels"]) == {each.name for each in CHANNELS}
    addresses = [each["address"] for each in DOCUMENT["channels"].values()]
    assert len(set(addresses)) == len(addresses)
    for channel in DOCUMENT["channels"].values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel["parameters"])
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] in {"send", "receive"}
        channel = resolve(operation["channel"]["$ref"])
        own = {f"{operation['channel']['$ref']}/messages/{each}" for each in channel["messages"]}
        assert {each["$ref"] for each in operation["messages"]} <= own, name
        binding = operation["bindings"]["mqtt"]
        assert binding["qos"] == 1
        assert set(binding) <= {"qos", "retain", "messageExpiryInterval", "bindingVersion"}
    assert not [key for key in refs_keys(DOCUMENT) if key == "discriminator"], "a string there, an object in OpenAPI"


def refs_keys(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from refs_keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs_keys(value)


def test_operations_say_how_each_topic_is_sent() -> None:
    for channel in CHANNELS:
        actions = {
            name.split("_")[0]: each["bindings"]["mqtt"]
            for name, each in DOCUMENT["operations"].items()
            if each["channel"]["$ref"].endswith(f"/{channel.name}")
        }
        wanted = {Direction.OUT: {"send"}, Direction.IN: {"receive"}, Direction.BOTH: {"send", "receive"}}
        assert set(actions) == wanted[channel.direction]
        for binding in actions.values():
            assert (binding["retain"], binding.get("messageExpiryInterval")) == (channel.retain, channel.expiry_s)


def test_examples_in_the_asyncapi_document_follow_its_payloads() -> None:
    for name, message in DOCUMENT["components"]["messages"].items():
        if name == "bridge_cmd":
            continue
        whole = {"components": DOCUMENT["components"], **message["payload"]}
        for example in message["examples"]:
            jsonschema.Draft202012Validator(whole).validate(example["payload"])
        assert message["examples"], name


def test_sample_files_are_named_once_and_hold_json() -> None:
    found = sample_files()
    assert len(found) == len(SAMPLES) + len(COMMANDS)
    for name, body in found.items():
        assert re.fullmatch(r"samples/[A-Za-z0-9_-]+\.json", name)
        json.loads(body)


def test_verb_lists_prints_and_writes(tmp_path: Path) -> None:
    listed = CliRunner().invoke(contract.command, []).output.split()
    assert {"asyncapi.json", "schemas/tag_alert.json", "samples/command-ping.json"} <= set(listed)
    printed = CliRunner().invoke(contract.command, ["--print", "schemas/tag_alert.json"])
    assert json.loads(printed.output) == SCHEMAS["tag_alert"]
    done = CliRunner().invoke(contract.command, ["--write", f"{tmp_path}/a", "--samples"])
    assert f"{len(listed)} files written below" in done.output
    missing = CliRunner().invoke(contract.command, ["--print", "nothing.json"])
    assert (missing.exit_code, "there is no 'nothing.json'" in missing.stderr) == (ExitCode.USAGE, True)
    refused = CliRunner().invoke(contract.command, ["--write", "/proc/nowhere"])
    assert (refused.exit_code, "Next: name a folder you may write" in refused.stderr) == (ExitCode.USAGE, True)
