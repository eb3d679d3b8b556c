"""The verdict of the suite finds what it is there to find."""

import random
from pathlib import Path

import pytest

from tests.delivery.ledger import Heard, Kept, compare
from tests.delivery.lines import LineFile, LineWriter


def kept(number: int, source: str = "s", event_id: str | None = None) -> Kept:
    return Kept(source=source, sequence=number, event_id=event_id or f"{source}-{number}", durable=True)


def heard(number: int, source: str = "s", event_id: str | None = None, digest: str = "d", attempt: int = 1) -> Heard:
    return Heard(
        t_mono_ns=0,
        topic=f"{source}/alert",
        source=source,
        sequence=number,
        event_id=event_id or f"{source}-{number}",
        attempt=attempt,
        durable=True,
        submitted_mono_ns=0,
        digest=digest,
    )


FIVE = [kept(n) for n in range(1, 6)]


def test_clean_run_with_duplicates_passes() -> None:
    arrivals = [heard(n) for n in (1, 2, 3)] + [heard(2, attempt=2), heard(3, attempt=2)] + [heard(4), heard(5)]
    verdict = compare(FIVE, FIVE, arrivals).check()
    assert (verdict.confirmed, verdict.arrivals, verdict.distinct, verdict.duplicates) == (5, 7, 5, 2)


def test_streams_are_ordered_each_by_itself() -> None:
    given = [kept(n, source) for n in (1, 2, 3) for source in ("a", "b")]
    arrivals = [heard(1, "a"), heard(2, "a"), heard(1, "b"), heard(3, "a"), heard(2, "b"), heard(3, "b")]
    random.Random(1).shuffle(given)
    compare(given, given, arrivals).check()


@pytest.mark.parametrize(
    ("arrivals", "word"),
    [
        ([heard(n) for n in (1, 2, 3, 4)], "lost"),
        ([heard(n) for n in (1, 3, 2, 4, 5)], "disordered"),
        ([heard(n) for n in (1, 2, 3, 4, 5)] + [heard(5, digest="other")], "changed"),
        ([heard(n) for n in (1, 2, 3, 4, 5)] + [heard(5, event_id="s-5b")], "renumbered"),
        ([heard(n) for n in (1, 2, 3, 4, 5, 6)], "phantoms"),
        ([heard(n) for n in (1, 2, 4, 5)], "gaps"),
    ],
)
def test_what_is_wrong_is_named(arrivals: list[Heard], word: str) -> None:
    verdict = compare(FIVE, FIVE, arrivals)
    assert getattr(verdict, word)
    with pytest.raises(pytest.fail.Exception, match=f"'{word}'"):
        verdict.check()


def test_ledger_is_read_while_it_grows(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "ledger")
    reader = LineFile(tmp_path / "ledger")
    assert reader.read_new() == []
    writer.write(["a\t1", "b\t2"])
    assert reader.read_new() == [["a", "1"], ["b", "2"]]
    with (tmp_path / "ledger").open("a") as torn:
        torn.write("c\t")
    assert reader.read_new() == []
    writer.write(["3"])
    assert reader.read_new() == [["c", "3"]]
    writer.close()


def test_late_arrivals_pass_only_where_and_as_many_as_they_may() -> None:
    arrivals = [heard(n) for n in (1, 3, 2, 5, 4)]
    verdict = compare(FIVE, FIVE, arrivals)
    assert len(verdict.disordered) == 2
    verdict.check(may_come_late=2)
    with pytest.raises(pytest.fail.Exception, match="'disordered'"):
        verdict.check(may_come_late=1)
