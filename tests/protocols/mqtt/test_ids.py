import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt.ids import epoch_id, event_id, find_common_name, instance_id, sequence_text
from protocols.mqtt.times import utc_ns, utc_text

NOW_NS = 1_780_000_000_123_456_789


def make(sequence: int = 1, *, source: str = "urn:x", epoch: str = "E", t_utc_ns: int = NOW_NS) -> str:
    return event_id(t_utc_ns=t_utc_ns, epoch=epoch, source=source, sequence=sequence)


def test_same_event_same_id() -> None:
    assert make() == make()
    assert len(make()) == 26


def test_anything_that_differs_gives_another_id() -> None:
    ids = [make(), make(2), make(source="urn:y"), make(epoch="F"), make(t_utc_ns=NOW_NS + 1_000_000)]
    assert len(set(ids)) == len(ids)


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2))
def test_ids_sort_by_time(times_ms: list[int]) -> None:
    ids = [make(t_utc_ns=ms * 1_000_000)[:10] for ms in times_ms]
    assert sorted(ids) == [make(t_utc_ns=ms * 1_000_000)[:10] for ms in sorted(times_ms)]


def test_ids_of_a_long_run_are_unique() -> None:
    assert len({make(n) for n in range(100_000)}) == 100_000


def test_epoch_needs_entropy() -> None:
    assert epoch_id(t_utc_ns=NOW_NS, entropy=bytes(10)) != epoch_id(t_utc_ns=NOW_NS, entropy=bytes(9) + b"\1")
    with pytest.raises(ValueError, match="10 random bytes, got 3"):
        epoch_id(t_utc_ns=NOW_NS, entropy=b"abc")


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_sequence_text_orders_as_numbers_do(a: int, b: int) -> None:
    assert (sequence_text(a) < sequence_text(b)) == (a < b)


def test_times_are_cut_not_rounded() -> None:
    assert utc_text(1_780_000_000_999_999_999).endswith("40.999Z")
    assert utc_text(-1) == "1969-12-31T23:59:59.999Z"


@given(st.integers(0, 7_258_118_400_000))
def test_times_there_and_back(t_utc_ms: int) -> None:
    assert utc_ns(utc_text(t_utc_ms * 1_000_000)) == t_utc_ms * 1_000_000


def test_time_without_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="no offset"):
        utc_ns("2026-01-01T00:00:00")


@pytest.mark.parametrize(
    ("partition", "name"), [(None, "bridge-1"), ("2/8", "bridge-1-2of8"), ("10/16", "bridge-1-10of16")]
)
def test_names_of_parts_and_of_the_whole(partition: str | None, name: str) -> None:
    assert instance_id("bridge-1", partition) == name
    assert find_common_name(name) == (None if partition is None else "bridge-1")


@pytest.mark.parametrize("name", ["2of8", "b-0of8", "b-2of", "b-2of8x", "b-2/8"])
def test_names_that_are_no_parts(name: str) -> None:
    assert find_common_name(name) is None
