"""The AsyncAPI 3.0 document around the schemas: channels, operations, messages, MQTT bindings 0.2.0."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from protocols.mqtt.messages import CONTENT_TYPE, MAX_PAYLOAD_BYTES, Event
from protocols.mqtt.samples import Sample
from protocols.mqtt.table import CHANNELS, Channel, Direction
from protocols.mqtt.topics import Side, Stream

Json: TypeAlias = dict[str, object]

VERSION = "1.0.0"
BINDING = "0.2.0"
MAX_EXAMPLES = 2
"""Examples per message: the first and the last of its samples; ``tagrig contract --write`` has all."""

TOKEN_TYPE = "application/jose"
JSON_TYPE = "application/json"

_DESCRIPTION = f"""Alerts about ankle tags and protected persons, over MQTT 5 or 3.1.1, seen from the bridge.

The root `em/v1/{{agency}}` of the topics can be configured; what follows it cannot. Everything is sent with QoS 1.
A PUBACK is not delivery: a receipt is. Messages with a CloudEvents envelope are duplicates if `source` and `id` are
equal, whatever `data.delivery.attempt` says; each `source` is numbered without gaps by `sequence`, and is to be
ordered by it, not by arrival. Unknown fields are to be ignored; a breaking change is another version in topic and type.
No body is longer than {MAX_PAYLOAD_BYTES} bytes. Topics below `tag` and `control` hold neither position, distance nor
bearing of a protected person; those stand below `protected`, which has an access list of its own.
"""

_PARAMETERS: dict[str, Json] = {
    "agency": {"description": "Who runs the bridge; with `em/v1/` the default root.", "examples": ["demo"]},
    "tag": {"description": "Pseudonymous id of a wearer's device.", "examples": ["tag-4711"]},
    "ref": {"description": "Pseudonymous id of a protected person's device.", "examples": ["pp-17"]},
    "bridge": {"description": "Id of a bridge; of one part of several `bridge-1-2of8`.", "examples": ["bridge-1"]},
    "consumer": {"description": "Name of a consumer of the provider.", "examples": ["provider"]},
}
_SUBJECTS = {
    Side.TAG: "tag",
    Side.CONTROL: "tag",
    Side.PROTECTED: "ref",
    Side.BRIDGE: "bridge",
    Side.PROVIDER: "consumer",
}


def asyncapi_document(payloads: Mapping[str, Json], schemas: Mapping[str, Json], samples: Sequence[Sample]) -> Json:
    """Put the document together.

    Parameters
    ----------
    payloads : mapping
        Schema of the body by the name of its kind of topic; what they refer to stands in ``schemas``.
    schemas : mapping
        By name, referred to as ``#/components/schemas/{name}``.
    samples : sequence of Sample
        Examples are taken from them.
    """
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Electronic monitoring alerts",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "broker": {
                "host": "broker.example:8883",
                "protocol": "secure-mqtt",
                "protocolVersion": "5",
                "description": "The provider's broker. MQTT 3.1.1 serves as well: every body is complete by itself.",
                "security": [
                    {"$ref": "#/components/securitySchemes/certificate"},
                    {"$ref": "#/components/securitySchemes/password"},
                ],
                "bindings": {
                    "mqtt": {"cleanSession": False, "sessionExpiryInterval": 604_800, "bindingVersion": BINDING}
                },
            }
        },
        "channels": {each.name: _channel(each) for each in CHANNELS},
        "operations": dict(operation for each in CHANNELS for operation in _operations(each)),
        "components": {
            "messages": {each.name: _message(each, payloads, samples) for each in CHANNELS},
            "schemas": dict(sorted(schemas.items())),
            "parameters": dict(_PARAMETERS),
            "securitySchemes": {
                "certificate": {"type": "X509", "description": "Client certificate; its name has a role."},
                "password": {"type": "userPassword"},
            },
        },
    }


def _channel(channel: Channel) -> Json:
    subject = _SUBJECTS[channel.side]
    return {
        "address": channel.topic("em/v1/{agency}", f"{{{subject}}}"),
        "title": channel.name,
        "description": channel.summary,
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in ("agency", subject)},
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
        "servers": [{"$ref": "#/servers/broker"}],
    }


def _operations(channel: Channel) -> list[tuple[str, Json]]:
    actions = {Direction.OUT: ["send"], Direction.IN: ["receive"], Direction.BOTH: ["send", "receive"]}
    return [(f"{action}_{channel.name}", _operation(channel, action)) for action in actions[channel.direction]]


def _operation(channel: Channel, action: str) -> Json:
    binding: Json = {"qos": 1, "retain": channel.retain, "bindingVersion": BINDING}
    if channel.expiry_s is not None:
        binding["messageExpiryInterval"] = channel.expiry_s
    operation: Json = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.summary,
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{channel.name}"}],
        "bindings": {"mqtt": binding},
    }
    if channel.stream is Stream.COMMAND:
        reply = f"{channel.side}_{Stream.REPLY}"
        operation["reply"] = {
            "channel": {"$ref": f"#/channels/{reply}"},
            "messages": [{"$ref": f"#/channels/{reply}/messages/{reply}"}],
        }
    return operation


def _message(channel: Channel, payloads: Mapping[str, Json], samples: Sequence[Sample]) -> Json:
    message: Json = {"name": channel.name, "title": channel.name, "summary": channel.summary}
    if channel.body is None:
        message["contentType"] = TOKEN_TYPE
        message["description"] = (
            "JWS compact token, Ed25519. Its payload follows the schema Claims, its claim cmd the schema Command; jti "
            "is the nonce, which is never used twice and stands in the reply."
        )
        message["payload"] = {"type": "string", "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}$"}
        return message
    is_event = issubclass(channel.body, Event)
    message["contentType"] = CONTENT_TYPE if is_event else JSON_TYPE
    message["payload"] = payloads[channel.name]
    if is_event:
        message["headers"] = {
            "type": "object",
            "description": "MQTT 5 user properties: copies of the envelope's fields, absent on 3.1.1.",
            "properties": {name: {"type": "string"} for name in ("id", "type", "source", "sequence", "time")},
        }
    if channel.stream is Stream.REPLY:
        message["correlationId"] = {
            "description": "Nonce of the command.",
            "location": "$message.payload#/data/nonce",
        }
    own = [each for each in samples if each.channel is channel]
    chosen = [own[0], own[-1]][: min(len(own), MAX_EXAMPLES)]
    message["examples"] = [{"name": each.title, "payload": msgspec.json.decode(each.body)} for each in chosen]
    return message
