"""Rings that only the way between two fixes leads through."""

from pathlib import Path

import numpy as np
import pytest

from bridge.pair_index import PairIndex
from bridge.passes import Passes
from geofence_core.pairs import PairTable
from tests.bridge.bench import CONFIG, Bench, S

BREACH = "proximity_breach"
SPARSE = CONFIG.replace("interval_s = 1\n", "interval_s = 60\n")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, zones="zones = []", config=SPARSE)


def bands(bench: Bench, side: str = "tag/tag") -> list[tuple[str, str]]:
    field = "protected_party" if side.startswith("tag") else "proximity"
    return [(d["msg_type"], d[field]["band"]) for d in bench.of_kind(BREACH, side)]


def test_a_car_through_all_rings_between_two_fixes_is_told(bench: Bench) -> None:
    bench.fix("her", 0)
    bench.fix("tag", -1400)
    bench.wait(60)
    bench.fix("tag", 1400)
    assert bands(bench) == [("Alert", "contact")] == bands(bench, "protected/her")
    (told,) = bench.of_kind(BREACH)
    assert told["reason"] == "band contact between two fixes"
    (hers,) = bench.of_kind(BREACH, "protected/her")
    assert hers["proximity"]["distance_m"] == pytest.approx(1400, rel=0.01)


def test_it_holds_until_his_next_fix_whatever_hers_say(bench: Bench) -> None:
    bench.fix("her", 0)
    bench.fix("tag", -1400)
    bench.wait(30)
    bench.fix("her", 0)
    bench.wait(30)
    bench.fix("tag", 1400)
    bench.wait(30)
    bench.fix("her", 0)
    assert bands(bench) == [("Alert", "contact")]
    bench.wait(30)
    bench.fix("tag", 2400)
    assert bands(bench) == [("Alert", "contact"), ("Cancel", "clear")]


def test_leaving_is_told_by_the_first_fix_outside(bench: Bench) -> None:
    bench.fix("her", 0)
    for north_m in (-1400, 0, 1400):
        bench.fix("tag", north_m)
        bench.wait(60)
    assert bands(bench) == [("Alert", "contact"), ("Cancel", "clear")]


def test_she_may_pass_him(bench: Bench) -> None:
    bench.fix("tag", 0)
    bench.fix("her", -1400)
    bench.wait(60)
    bench.fix("her", 1400)
    assert bands(bench) == [("Alert", "contact")]


def test_her_own_way_counts_at_the_time_when_he_was_there(bench: Bench) -> None:
    """He stands where she was, but half a minute after she left: her way, known later, is judged with his."""
    bench.fix("her", 0)
    bench.fix("tag", 5000)
    bench.wait(60)
    bench.fix("her", 1500)
    bench.fix("tag", 3000)
    assert bands(bench) == []
    bench.wait(60)
    bench.fix("her", 3200)
    assert bands(bench) == [("Alert", "contact")]


def test_nobody_knows_the_way_over_a_long_gap(bench: Bench) -> None:
    bench.fix("her", 0)
    bench.fix("tag", -1400)
    bench.wait(125)
    bench.fix("her", 0)
    bench.fix("tag", 1400)
    assert bands(bench) == []


def test_a_jump_is_no_way(bench: Bench) -> None:
    bench.fix("her", 0)
    bench.fix("tag", -9000)
    bench.wait(60)
    bench.fix("tag", 9000)
    assert bands(bench) == []


def test_fixes_that_a_line_held_up_are_as_far_apart_as_the_receiver_says(bench: Bench) -> None:
    bench.fix("her", 0)
    bench.wait(60)
    bench.fix("her", 0)
    bench.feed("tag", bench.make_fix(-1400, t_s=0), bench.make_fix(1400, t_s=60))
    assert bands(bench) == [("Alert", "contact")]


def test_an_unknown_band_ends_what_was_passed(bench: Bench) -> None:
    bench.fix("her", 0)
    bench.fix("tag", -1400)
    bench.wait(60)
    bench.fix("tag", 1400)
    bench.wait(121)
    assert bands(bench)[-1] == ("Update", "unknown")
    bench.fix("her", 0)
    bench.fix("tag", 1400)
    assert bands(bench)[-1] == ("Cancel", "clear")


def test_a_way_of_many_fixes_is_kept_short(bench: Bench) -> None:
    bench.fix("her", 0)
    for _ in range(3000):
        bench.clock._mono_ns += S // 10
        bench.fix("tag", 5000)
    kept = bench.pipeline._pairs._judge._passes._ways
    assert max(len(way) for way in kept.values()) <= 512


def test_a_way_that_was_told_is_not_told_again_by_her_next_fix(bench: Bench) -> None:
    """His fixes come more often than hers: her next one has the way in its time by which he came and went."""
    bench.fix("her", 0)
    for north_m in (-1400, -700, 0, 700, 1400):
        bench.fix("tag", north_m)
        bench.wait(10)
    bench.fix("her", 0)
    assert bands(bench)[-1] == ("Cancel", "clear")
    told = len(bands(bench))
    bench.wait(60)
    bench.fix("her", 0)
    assert len(bands(bench)) == told


def test_he_who_passes_again_at_once_is_not_cleared(bench: Bench) -> None:
    bench.fix("her", 0)
    for north_m in (-1400, 1400, -1400, 1400):
        bench.fix("tag", north_m)
        bench.wait(60)
        bench.fix("her", 0)
    assert bands(bench) == [("Alert", "contact")]
    bench.fix("tag", 2400)
    assert bands(bench) == [("Alert", "contact"), ("Cancel", "clear")]


def test_a_pass_that_begins_when_the_last_was_cleared_is_told(bench: Bench) -> None:
    for north_m in (-1400, 1400, 2400, -1400):
        bench.fix("her", 0)
        bench.fix("tag", north_m)
        bench.wait(60)
    assert bands(bench) == [("Alert", "contact"), ("Cancel", "clear"), ("Alert", "contact")]


def test_a_way_that_only_leaves_the_outer_ring_holds_nothing_longer(bench: Bench) -> None:
    bench.fix("her", 0)
    for north_m in (-1400, 400, 1900):
        bench.fix("tag", north_m)
        bench.wait(60)
    assert bands(bench) == [("Alert", "contact"), ("Cancel", "clear")]


def test_a_jump_ends_what_was_passed(bench: Bench) -> None:
    bench.fix("her", 0)
    bench.fix("tag", -1400)
    bench.wait(60)
    bench.fix("tag", 1400)
    bench.wait(60)
    bench.fix("her", 0)
    bench.fix("tag", 60_000)
    assert bands(bench) == [("Alert", "contact"), ("Cancel", "clear")]


def test_a_fix_that_was_decoded_before_the_one_it_follows_draws_no_way_back_in_time() -> None:
    passes = Passes(120 * S)
    table = PairIndex(PairTable.of([0], [1], [100.0], [300.0], [600.0]))
    clear = np.zeros(1, dtype=np.int8)
    for t_ns, lat_deg in ((0, 0.1), (10 * S, 0.05)):
        passes.move(1, t_ns, t_ns, lat_deg, 0.0)
    passes.raise_bands(1, table.rows(1), clear, clear)
    passes.move(0, 9 * S, 8 * S, 0.2, 0.0)
    passes.move(0, 1 * S, 9 * S, 0.2, 0.0)
    assert passes._newest[0].t_ns == 9 * S
    assert passes.raise_bands(0, table.rows(0), clear, clear).tolist() == [0]
