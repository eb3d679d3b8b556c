"""What goes on the wire, compared with paho's own encoder."""

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.mqtt.session import _PublishProperties
from bridge.publisher import Lane, Message
from protocols.mqtt.messages import CONTENT_TYPE


@pytest.mark.parametrize("expiry_s", [None, 30])
@pytest.mark.parametrize("pairs", [(), (("id", "01M8"), ("source", "urn:em:é")), (("long", "x" * 200),) * 90])
def test_properties_are_those_that_paho_would_pack(expiry_s: int | None, pairs: tuple[tuple[str, str], ...]) -> None:
    message = Message(topic="t", body=b"", lane=Lane.ALERT, expiry_s=expiry_s, properties=pairs)
    theirs = Properties(PacketTypes.PUBLISH)
    theirs.PayloadFormatIndicator = 1
    theirs.ContentType = CONTENT_TYPE
    if expiry_s is not None:
        theirs.MessageExpiryInterval = expiry_s
    if pairs:
        theirs.UserProperty = list(pairs)
    again = Properties(PacketTypes.PUBLISH)
    packed = _PublishProperties(message).pack()
    again.unpack(packed)
    assert again.json() == theirs.json()
    assert len(packed) == len(theirs.pack())
