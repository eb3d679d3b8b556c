import pytest

from protocols.mqtt.topics import Side, Stream, Topic, default_root, find_topic, is_topic_id, is_topic_root


@pytest.mark.parametrize("text", ["tag-4711", "A_b-9", "x" * 64])
def test_ids_that_every_broker_takes(text: str) -> None:
    assert is_topic_id(text)


@pytest.mark.parametrize("text", ["", "a.b", "a b", "a/b", "a#", "+", "é", "x" * 65, "a\n"])
def test_ids_that_some_broker_does_not(text: str) -> None:
    assert not is_topic_id(text)


def test_topic_and_back() -> None:
    for side in Side:
        for stream in Stream:
            topic = Topic(root=default_root("demo"), side=side, subject="x-1", stream=stream)
            assert find_topic(str(topic)) == topic
    assert str(topic) == "em/v1/demo/bridge/x-1/heartbeat", "the last of both lists"


@pytest.mark.parametrize(
    "text", ["", "a", "a/b/c", "r/tag/x/nothing", "r/other/x/alert", "/tag/x/alert", "r/tag/x y/alert"]
)
def test_other_topics_are_none_of_ours(text: str) -> None:
    assert find_topic(text) is None


def test_roots() -> None:
    assert is_topic_root("em/v1/demo")
    assert not is_topic_root("em//demo")
    assert not is_topic_root("em/#")
