"""The contract as documents: JSON Schema 2020-12 per message and one AsyncAPI 3.0 document, made from the structs.

``contract/`` beside this file holds what ``contract_files`` gives; a test fails when they differ.
"""

from collections.abc import Iterator

import msgspec

from protocols.mqtt.asyncapi import Json, asyncapi_document
from protocols.mqtt.commands import Command
from protocols.mqtt.samples import Sample, command_samples, samples
from protocols.mqtt.signed import Claims
from protocols.mqtt.table import CHANNELS

DIALECT = "https://json-schema.org/draft/2020-12/schema"

COMMAND = "command"
CLAIMS = "command_claims"
"""Schemas of what a signed token holds: the claim ``cmd``, and all claims."""

ID_PREFIX = "urn:em:v1:schema:"
"""A name, not an address: there is no server that would have to be there for ever."""


def json_schemas() -> dict[str, Json]:
    """JSON Schema of every message, by the name of its kind of topic (``tag_alert``), and of commands."""
    found = {each.name: _schema(each.name, each.body, each.summary) for each in CHANNELS if each.body is not None}
    found[COMMAND] = _schema(COMMAND, Command, "Claim cmd of a signed command. Unknown fields are refused.")
    claims = _schema(CLAIMS, Claims, "Claims of a signed command, the payload of a JWS compact token (EdDSA).")
    found[CLAIMS] = claims
    return found


def asyncapi() -> Json:
    """Make the AsyncAPI 3.0 document, seen from the bridge: it sends alerts and receives commands."""
    kinds = [each.body for each in CHANNELS if each.body is not None]
    roots, components = msgspec.json.schema_components(
        [*kinds, Command, Claims], schema_hook=_hook, ref_template="#/components/schemas/{name}"
    )
    names = [each.name for each in CHANNELS if each.body is not None]
    payloads = {name: _plain(root) for name, root in zip(names, roots, strict=False)}
    schemas = {name: _plain(schema) for name, schema in components.items()}
    schemas["Command"] = _plain(roots[-2])
    return asyncapi_document(payloads, schemas, list(samples()))


def contract_files() -> dict[str, bytes]:
    """Documents by file name, as they stand in ``contract/``."""
    files = {f"schemas/{name}.json": _document(schema) for name, schema in json_schemas().items()}
    files["asyncapi.json"] = _document(asyncapi())
    return dict(sorted(files.items()))


def sample_files() -> dict[str, bytes]:
    """Sample payloads by file name: numbered in the order of sending, and one file per command."""
    files: dict[str, bytes] = {}
    for number, sample in enumerate(samples(), start=1):
        files[f"samples/{number:03d}-{sample.channel.name}-{_file_name(sample)}.json"] = sample.body
    for command in command_samples():
        body = msgspec.json.encode(command)
        files[f"samples/command-{msgspec.json.decode(body)['command']}.json"] = body
    return files


def _file_name(sample: Sample) -> str:
    return "".join(char if char.isalnum() or char == "_" else "-" for char in sample.title)


def _schema(name: str, kind: object, summary: str) -> Json:
    (root,), definitions = msgspec.json.schema_components([kind], schema_hook=_hook, ref_template="#/$defs/{name}")
    schema: Json = {"$schema": DIALECT, "$id": f"{ID_PREFIX}{name}", "title": name, "description": summary}
    schema |= _plain(root)
    schema["$defs"] = {each: _plain(definition) for each, definition in sorted(definitions.items())}
    return schema


def _hook(kind: type) -> Json:
    """Describe what a GeoJSON object may hold; the bridge checks it as it checks a zones file."""
    if kind is object:
        return {"description": "Any JSON value."}
    raise NotImplementedError(kind)


def _plain(node: Json) -> Json:
    """Leave out ``discriminator``: OpenAPI's form of it is none of JSON Schema's, and each variant names its tag."""
    return {key: _plain_value(value) for key, value in node.items() if key != "discriminator"}


def _plain_value(value: object) -> object:
    if isinstance(value, str):
        return value.replace("``", "`")  # docstrings are reStructuredText, descriptions are Markdown
    if isinstance(value, dict):
        return _plain(value)
    return [_plain_value(each) for each in value] if isinstance(value, list) else value


def _document(tree: Json) -> bytes:
    return msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n"


def walk_properties(schema: Json) -> Iterator[str]:
    """Names of all fields that a schema allows, at any depth."""
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            yield from value
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from walk_properties(each)
