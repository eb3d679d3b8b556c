"""Properties of putting in order, cutting and joining: whatever is drawn, the plain judge says the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import geofence_core as gc
from rig.backtest import index
from rig.backtest.chunks import Chunker, Cut
from rig.backtest.fixes import Batch, Fixes, Tally
from rig.backtest.judge import Began, Crossing, Ended, Rules, judge_chunk
from rig.backtest.sequence import Sequencer
from rig.backtest.stitch import Stitcher
from rig.errors import BenchBrokenError
from tests.rig.backtest_support import LAT0, LON0, Row, judge_plainly, random_zones

FEATURES = random_zones(np.random.default_rng(77), 5, spread_deg=0.008)
ZONES = gc.ZoneTable.from_geojson({"type": "FeatureCollection", "features": FEATURES})
DEVICES = ("a", "b", "c")
S = 1_000_000_000


@dataclass(frozen=True)
class Drawn:
    """A history, and how it is read and cut."""

    rows: list[Row]
    batches: list[int]
    block: int
    chunk: int
    max_gap_s: int


@st.composite
def histories(draw: st.DrawFn) -> Drawn:
    """Walks in and out of zones a few hundred metres wide, with rests, equal times, disorder and missing positions."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 60))
    stride = draw(st.sampled_from([0.0005, 0.003]))
    place = {device: rng.integers(-8, 9, 2) * 0.00107 for device in DEVICES}
    t = dict.fromkeys(DEVICES, 0)
    rows = []
    for _ in range(n):
        device = DEVICES[rng.integers(len(DEVICES))]
        t[device] += int(rng.choice([0, 1, 2, 8], p=[0.1, 0.5, 0.3, 0.1]))
        place[device] = np.clip(place[device] + rng.normal(0, stride, 2) * (rng.random() < 0.9), -0.012, 0.012)
        lat, lon = (place[device] + (LAT0, LON0)).tolist()
        rows.append(Row(device, float(t[device]), *((None, None) if rng.random() < 0.1 else (lat, lon))))
    disorder = draw(st.sampled_from([0, 0, 3, 20]))
    rows = [rows[i] for i in np.argsort(np.arange(n) + rng.uniform(0, disorder, n), kind="stable")]
    cuts = draw(st.lists(st.integers(0, n), max_size=4).map(sorted))
    return Drawn(
        rows,
        [b - a for a, b in pairwise([0, *cuts, n])],
        draw(st.integers(1, 70)),
        draw(st.integers(1, 30)),
        draw(st.sampled_from([3, 8, 100])),
    )


def batches_of(drawn: Drawn) -> list[Batch]:
    found, number = [], 1
    for size in drawn.batches:
        part = [
            (n, row) for n, row in enumerate(drawn.rows[number - 1 : number - 1 + size], number) if row.lat is not None
        ]
        fixes = Fixes(
            np.array([DEVICES.index(row.device) for _, row in part], dtype=np.int32),
            np.array([int(row.t_s or 0) * S for _, row in part], dtype=np.int64),
            np.array([row.lat for _, row in part], dtype=np.float64),
            np.array([row.lon for _, row in part], dtype=np.float64),
            np.array([n for n, _ in part], dtype=np.int64),
        )
        found.append(Batch(size, fixes))
        number += size
    return found


def cut(drawn: Drawn, tally: Tally) -> list[Cut]:
    ordered = Sequencer(drawn.block, tally, str).run(iter(batches_of(drawn)))
    return list(Chunker(drawn.chunk, tally, str).run(ordered))


def late_rows(rows: Sequence[Row], block: int) -> set[int]:
    """Indices of the rows that come too late, as `rig.backtest.sequence` says it."""
    return {
        i
        for i, row in enumerate(rows)
        if row.lat is not None
        and any(
            q.device == row.device and q.lat is not None and q.t_s > row.t_s and j // block <= i // block - 2
            for j, q in enumerate(rows)
        )
    }


@given(histories())
def test_a_history_cut_anyhow_is_judged_as_a_whole(drawn: Drawn) -> None:
    tally = Tally()
    stitcher = Stitcher(len(ZONES))
    crossings, periods, below_before = [], [], 0
    for item in cut(drawn, tally):
        judged = judge_chunk(ZONES, Rules(max_gap_ns=drawn.max_gap_s * S), item.chunk)
        ready = stitcher.take(judged, item.complete_below)
        assert item.complete_below >= below_before
        below_before = item.complete_below
        crossings.append(ready[0])
        periods.append(ready[1])
    ready = stitcher.finish()
    got = [
        (int(c.after[i]), ZONES.ids[c.zone[i]], DEVICES[c.device[i]], Crossing(c.kind[i]).name.lower(), c.fraction[i])
        for c in (*crossings, ready[0])
        if c is not None
        for i in range(len(c))
    ]
    dwell = [
        (DEVICES[p.device[i]], ZONES.ids[p.zone[i]], Began(p.began[i]).name.lower(), Ended(p.ended[i]).name.lower(),
         p.from_ns[i] / S, p.to_ns[i] / S, int(p.n_fixes[i]))
        for p in (*periods, ready[1])
        if p is not None
        for i in range(len(p))
    ]  # fmt: skip
    late = late_rows(drawn.rows, drawn.block)
    counted = tally.rejected.get("late")
    assert (counted.count if counted else 0) == len(late)
    rows = [Row(r.device, r.t_s, None, None) if i in late else r for i, r in enumerate(drawn.rows)]
    seen = judge_plainly(FEATURES, rows, max_gap_s=drawn.max_gap_s)
    assert [c[:4] for c in got] == [c[:4] for c in seen.crossings]
    for (*_, fraction), (*_, entry, _) in zip(got, seen.crossings, strict=True):
        assert np.isnan(fraction) if entry is None else fraction == pytest.approx(entry, abs=1e-7)
    key = lambda p: (p[0], p[1], round(p[4], 3), p[2])  # noqa: E731
    for mine, plain in zip(sorted(dwell, key=key), sorted(seen.periods, key=key), strict=True):
        assert mine[:4] == plain[:4]
        assert mine[6] == plain[6]
        assert mine[4:6] == pytest.approx(plain[4:6], abs=1e-5)


@given(histories())
def test_chunks_hold_each_fix_once_and_lead_with_the_one_before(drawn: Drawn) -> None:
    tally = Tally()
    cuts = cut(drawn, tally)
    assert [item.chunk.number for item in cuts] == list(range(len(cuts)))
    last: dict[int, int] = {}
    own: list[int] = []
    for item in cuts:
        fixes, is_lead = item.chunk.fixes, item.chunk.is_lead
        assert 1 <= int((~is_lead).sum()) <= drawn.chunk
        assert np.lexsort((fixes.t_ns, fixes.device)).tolist() == list(range(len(fixes)))
        for device in set(fixes.device.tolist()):
            rows = np.flatnonzero(fixes.device == device)
            assert is_lead[rows].tolist() == [device in last] + [False] * (rows.size - 1)
            assert fixes.number[rows[0]] == last.get(device, fixes.number[rows[0]])
            last[device] = int(fixes.number[rows[-1]])
        own += fixes.number[~is_lead].tolist()
    refused = sum(what.count for what in tally.rejected.values())
    assert len(own) == len(set(own)) == sum(row.lat is not None for row in drawn.rows) - refused


def test_the_saved_index_holds_all_that_judging_asks(tmp_path: Path) -> None:
    zones = index.load(index.make(ZONES, tmp_path, lambda _: None))
    known = set(vars(zones._zone_index))
    drawn = Drawn([Row("a", float(t), LAT0, LON0 + 0.001 * t) for t in range(10)], [10], 3, 30, 100)
    (item,) = cut(drawn, Tally())
    judged = judge_chunk(zones, Rules(max_gap_ns=None), item.chunk)
    assert len(judged.crossings) > 0
    assert set(vars(zones._zone_index)) == known, "every worker would make this part anew"


def test_a_chunk_out_of_turn_is_an_error() -> None:
    drawn = Drawn([Row("a", float(t), LAT0, LON0) for t in range(10)], [10], 3, 3, 100)
    cuts = cut(drawn, Tally())
    stitcher = Stitcher(len(ZONES))
    judged = judge_chunk(ZONES, Rules(max_gap_ns=None), cuts[1].chunk)
    with pytest.raises(BenchBrokenError, match="chunk 1 came where chunk 0 was due"):
        stitcher.take(judged, 1)


def test_judges_that_do_not_agree_are_an_error() -> None:
    ring = FEATURES[0]["geometry"]["coordinates"][0]
    lat, lon = np.mean([p[1] for p in ring[1:]]), np.mean([p[0] for p in ring[1:]])
    drawn = Drawn([Row("a", float(t), lat, lon) for t in range(10)], [10], 3, 5, 100)
    first, second = cut(drawn, Tally())[:2]
    stitcher = Stitcher(len(ZONES))
    stitcher.take(judge_chunk(ZONES, Rules(max_gap_ns=None), first.chunk), 1)
    other = gc.ZoneTable.from_geojson({"type": "FeatureCollection", "features": FEATURES[1:2]})
    with pytest.raises(BenchBrokenError, match="the judges do not agree"):
        stitcher.take(judge_chunk(other, Rules(max_gap_ns=None), second.chunk), 1)
