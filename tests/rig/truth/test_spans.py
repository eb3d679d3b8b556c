"""What is owed of a line over time, worked by hand, and what must hold for any way."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rig.truth.spans import Deadlines, Look, Side, Turn, find_spans, match_spans
from rig.truth.stretches import Owing, find_silence, merged, spans_of


def looks(distances: list[float], error_m: float = 5.0, every_s: float = 1.0) -> list[Look]:
    return [
        Look(t_s=i * every_s, true_m=d, low_m=d - error_m, high_m=d + error_m, reported=True)
        for i, d in enumerate(distances)
    ]


def turn(t_s: float, on: bool, index: int = 0) -> Turn:
    return Turn(t_s=t_s, said_s=t_s, on=on, index=index)


SAWTOOTH = [30.0 - t if t <= 60 else t - 90.0 for t in range(141)]


def test_a_way_in_and_out_with_an_exit_margin() -> None:
    """Distance falls by 1 m/s from 30 to -30 m and rises again; error 5 m, margin 10 m."""
    spans = find_spans(looks(SAWTOOTH), exit_margin_m=10)
    assert [(s.side, s.from_s, s.until_s) for s in spans] == [
        (Side.OUT, 0, 25),
        (Side.EITHER, 25, 35),
        (Side.IN, 35, 96),
        (Side.EITHER, 96, 106),
        (Side.OUT, 106, 140),
    ]
    inside = spans[2]
    assert (inside.t_true_s, inside.near_m) == (30, -30)


def test_without_a_report_nothing_becomes_sure() -> None:
    unseen = [
        Look(t_s=each.t_s, true_m=each.true_m, low_m=each.low_m, high_m=each.high_m, reported=not 20 < each.t_s < 70)
        for each in looks(SAWTOOTH)
    ]
    spans = find_spans(unseen, exit_margin_m=10)
    assert next(s.from_s for s in spans if s.side is Side.IN) == 70


@pytest.mark.parametrize(
    ("turns", "late", "stray"),
    [
        ([(30, True), (100, False)], [0, 0, 0], [0, 0, 0]),
        ([(35.5, True), (107, False)], [0, 0, 0], [0, 0, 0]),
        ([(37, True), (100, False)], [0, 1, 0], [0, 0, 0]),
        ([], [0, math.inf, 0], [0, 0, 0]),
        ([(30, True)], [0, 0, math.inf], [0, 0, 0]),
        ([(10, True), (100, False)], [0, 0, 0], [1, 0, 0]),
        ([(30, True), (50, False), (52, True), (100, False)], [0, 0, 0], [0, 1, 0]),
        ([(28, True), (29, False), (31, True), (100, False)], [0, 0, 0], [0, 0, 0]),
        ([(30, True), (100, False), (120, True)], [0, 0, 0], [0, 0, 1]),
    ],
    ids=["good", "at the end of the window", "late", "never", "never over", "too soon", "taken back", "flaps", "again"],
)
def test_what_was_received_is_held_against_it(
    turns: list[tuple[float, bool]], late: list[float], stray: list[int]
) -> None:
    spans = find_spans(looks(SAWTOOTH), exit_margin_m=10)
    got = [turn(t, on, i) for i, (t, on) in enumerate(turns)]
    matches = match_spans(spans, got, on_side=Side.IN, allowance_s=1, deadlines=Deadlines())
    assert [m.late_s for m in matches] == late
    assert [len(m.stray) for m in matches] == stray


def test_a_cut_moves_the_end_of_a_window() -> None:
    spans = find_spans(looks(SAWTOOTH), exit_margin_m=10)
    cut = Deadlines([(20, 60)])
    waited = [Turn(t_s=59, said_s=30, on=True, index=0), turn(100, False, 1)]
    assert [m.late_s for m in match_spans(spans, waited, on_side=Side.IN, allowance_s=1, deadlines=cut)] == [0, 0, 0]
    late = [Turn(t_s=63, said_s=30, on=True, index=0), turn(100, False, 1)]
    assert match_spans(spans, late, on_side=Side.IN, allowance_s=1, deadlines=cut)[1].late_s == 3
    assert cut.cut(30)
    assert not cut.cut(61)


@given(
    st.lists(st.floats(-60, 60), min_size=2, max_size=60),
    st.lists(st.floats(-1, 1), min_size=60, max_size=60),
    st.floats(0, 20),
)
@settings(max_examples=200)
def test_whoever_reads_reports_within_their_error_keeps_to_it(
    distances: list[float], errors: list[float], margin_m: float
) -> None:
    """The property that makes a verdict fair: no draw of errors within the bound can break a span."""
    error_m = 5.0
    spans = find_spans(looks(distances, error_m), exit_margin_m=margin_m)
    assert [s.until_s for s in spans[:-1]] == [s.from_s for s in spans[1:]]
    turns, on = [], False
    for i, (d, e) in enumerate(zip(distances, errors, strict=False)):
        shown = d + e * error_m
        now = shown <= 0 or (on and shown <= margin_m)
        if now is not on:
            on = now
            turns.append(turn(float(i), on, i))
    for match in match_spans(spans, turns, on_side=Side.IN, allowance_s=0, deadlines=Deadlines()):
        assert match.late_s == 0
        assert not match.stray


def test_silence_is_counted_from_what_was_surely_and_what_was_perhaps_heard() -> None:
    heard = [(float(t), True) for t in range(41)] + [(60.0, False)] + [(float(t), True) for t in range(80, 121)]
    owing = find_silence(heard, limit_s=10, slack_s=0.5, duration_s=100)
    assert owing.must == ((50.5, 60.0), (70.5, 80.0))
    assert owing.may == ((49.5, 80.5),)
    spans = spans_of(owing, duration_s=100)
    assert [(s.side, s.from_s, s.until_s) for s in spans] == [
        (Side.OUT, 0, 49.5), (Side.EITHER, 49.5, 50.5), (Side.IN, 50.5, 60), (Side.EITHER, 60, 70.5),
        (Side.IN, 70.5, 80), (Side.EITHER, 80, 80.5), (Side.OUT, 80.5, 100),
    ]  # fmt: skip
    assert find_silence([(0.0, True)], limit_s=10, slack_s=0, duration_s=30).must == ((10.0, 30),)


def test_stretches_join() -> None:
    assert merged([(5, 9), (1, 2), (8, 12), (3, 3)]) == [(1, 2), (5, 12)]
    both = Owing(must=((1, 2),)) | Owing(may=((3, 4),))
    assert (both.must, both.may) == (((1, 2),), ((3, 4),))
