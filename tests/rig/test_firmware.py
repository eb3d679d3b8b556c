import itertools

import pytest

from protocols.nmea import NmeaDecoder
from protocols.nmea.tag import encode_command
from protocols.rejects import Reject
from protocols.reports import Closure, CommandOutcome, CommandVerb, Fix, FixState, Jamming, TagStatus
from rig.emulator.clock import NS_PER_S
from rig.emulator.downlink import Downlink
from rig.emulator.firmware import FIRMWARE_VERSION
from rig.emulator.memory import BACKFILL_PER_EPOCH
from tests.rig.support import make_tag, run_tag, standing, wire


def statuses(sent: bytes) -> list[TagStatus]:
    return [r for r in NmeaDecoder().feed(sent) if isinstance(r, TagStatus)]


def fixes(sent: bytes) -> list[Fix]:
    return [r for r in NmeaDecoder().feed(sent) if isinstance(r, Fix)]


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others() -> None:
    events = ("strap_cut@10", "gnss_lost@20+15", "outage@40+10", "jam=3@70+10", "profile=urban@90")
    first, again, other = (wire(run_tag(make_tag(*events, seed=seed), 120)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_every_sentence_it_sends_is_decoded_and_every_status_finds_its_fix() -> None:
    sent = wire(run_tag(make_tag("gnss_lost@20+15", "outage@40+10", "profile=indoor@80", interval_s=0.3), 200))
    decoder = NmeaDecoder()
    reports = decoder.feed(sent)
    assert not [r for r in reports if isinstance(r, Reject)]
    assert decoder.counters.framed == decoder.counters.sentences == sent.count(b"\r\n")
    numbered = [r.sequence for r in reports if isinstance(r, Fix)]
    assert numbered == [r.sequence for r in reports if isinstance(r, TagStatus)]
    assert None not in numbered


def test_what_is_decoded_is_what_the_model_said() -> None:
    sent = run_tag(make_tag(), 30)
    decoded = fixes(wire(sent))
    assert len(decoded) == len(sent)
    for item, fix in zip(sent, decoded, strict=True):
        position = item.epoch.observation.position
        assert fix.t_fix_utc_ns == item.epoch.t_utc_ns
        if position is None:
            assert fix.state is FixState.NO_FIX
            continue
        assert fix.lat_deg == pytest.approx(position.lat_deg, abs=1e-7)
        assert fix.lon_deg == pytest.approx(position.lon_deg, abs=1e-7)
        assert fix.satellites_used == len(item.epoch.observation.used)
        assert fix.error_ellipse is not None
        assert fix.error_ellipse.semi_major_m == pytest.approx(position.sigma_major_m, abs=0.006)


def test_an_event_wakes_the_tag_whatever_its_interval() -> None:
    sent = run_tag(make_tag("strap_cut@100.5", interval_s=60), 130)
    assert [item.epoch.t_ns / NS_PER_S for item in sent] == [0, 60, 100.5, 120]
    assert [s.strap for s in statuses(wire(sent))] == [Closure.CLOSED, Closure.CLOSED, Closure.OPEN, Closure.OPEN]


def test_sensors_tell_what_happened_and_that_it_is_over() -> None:
    seen = statuses(
        wire(run_tag(make_tag("case_open@2+2", "shield_on@5+2", "jam=2@8+2", "strap_cut@11+2", track=standing()), 14))
    )
    by_second = {s.sequence: s for s in seen}
    assert {s.case for s in seen} == {Closure.OPEN, Closure.CLOSED}
    assert any(s.shielded for s in seen)
    assert {s.jamming for s in seen} == {Jamming.NONE, Jamming.WARNING}
    last = by_second[max(by_second)]
    assert (last.case, last.shielded, last.jamming, last.strap) == (Closure.CLOSED, False, Jamming.NONE, Closure.CLOSED)
    assert not any(s.motion for s in seen)


def test_a_cut_tag_cools_and_a_worn_one_does_not() -> None:
    worn = statuses(wire(run_tag(make_tag(interval_s=30), 1800)))[-1].temperature_c
    cut = statuses(wire(run_tag(make_tag("strap_cut@1", interval_s=30), 1800)))[-1].temperature_c
    assert worn is not None
    assert cut is not None
    assert worn > 30 > 20 > cut


def test_after_an_outage_history_comes_oldest_first_between_live_epochs() -> None:
    sent = run_tag(make_tag("outage@10+30"), 60)
    live = [item.epoch.sequence for item in sent if not item.stored]
    stored = [item.epoch.sequence for item in sent if item.stored]
    assert stored == sorted(stored)
    assert sorted(live + stored) == list(range(1, 62))
    assert all(10 <= item.epoch.t_ns / NS_PER_S < 40 for item in sent if item.stored)
    # live positions are never held up by history
    runs = [len(list(group)) for stored_run, group in itertools.groupby(sent, key=lambda i: i.stored) if stored_run]
    assert max(runs) == BACKFILL_PER_EPOCH
    decoded = fixes(wire(sent))
    assert [f.stored for f in decoded] == [item.stored for item in sent]


def test_a_full_memory_loses_the_oldest_and_counts_it() -> None:
    tag = make_tag("outage@10+30", memory_epochs=12)
    sent = run_tag(tag, 60)
    kept = [item.epoch.t_ns // NS_PER_S for item in sent if item.stored]
    assert kept == list(range(28, 40))
    assert tag.stored_dropped == 18
    assert tag.stored == 0


def test_a_powered_off_tag_is_silent_and_stores_nothing() -> None:
    sent = run_tag(make_tag("power_off@10+20"), 40)
    times = [item.epoch.t_ns // NS_PER_S for item in sent]
    assert times == [*range(10), *range(30, 41)]
    assert not any(item.stored for item in sent)
    # the receiver needs its time to first fix again
    assert sent[10].epoch.observation.position is None


def test_an_empty_battery_ends_it_and_a_charger_brings_it_back() -> None:
    sent = run_tag(make_tag("battery=2@0", "drain=200@0", "drain=1@90", "charge_on@100"), 200)
    times = [item.epoch.t_ns // NS_PER_S for item in sent]
    silent = set(range(200)) - set(times)
    assert silent
    assert min(silent) > 1
    assert max(silent) == 99
    assert statuses(wire(sent))[-1].charging


def test_jamming_takes_the_fix_by_and_by_and_gives_it_back() -> None:
    sent = run_tag(make_tag("jam=3@20+30", track=standing()), 80)
    lost = [item.epoch.t_ns // NS_PER_S for item in sent if item.epoch.observation.position is None and item.epoch.t_ns]
    lost = [t for t in lost if t > 5]
    assert 20 <= lost[0] <= 25
    assert 50 <= lost[-1] <= 55
    heard = [max(s.cn0_dbhz or 0 for s in item.epoch.observation.satellites) for item in sent]
    assert max(heard[26:50]) < 27 < min(heard[5:20])


class Tag:
    def __init__(self) -> None:
        self.firmware = make_tag()
        run_tag(self.firmware, 5)
        self.link = Downlink(self.firmware.execute)

    def send(self, number: int, verb: CommandVerb, argument: str = "", t_s: float = 5.5) -> bytes:
        handled = self.link.feed(encode_command(number, verb, argument), round(t_s * NS_PER_S))
        assert len(handled) == 1
        return handled[0].answer


def test_locate_now_reports_at_once() -> None:
    tag = Tag()
    assert tag.send(1, CommandVerb.LOCATE_NOW).startswith(b"$PTRGA,1,OK")
    assert tag.firmware.next_due_ns() == round(5.5 * NS_PER_S)
    sent = tag.firmware.run(tag.firmware.next_due_ns())
    assert len(sent) == 1
    assert sent[0].epoch.t_ns == round(5.5 * NS_PER_S)


def test_a_retry_gets_the_same_answer_and_acts_once() -> None:
    tag = Tag()
    first = tag.send(9, CommandVerb.REPORT_INTERVAL, "10", t_s=5.5)
    due_ns = tag.firmware.next_due_ns()
    assert due_ns == round(15.5 * NS_PER_S)
    again = tag.link.feed(encode_command(9, CommandVerb.REPORT_INTERVAL, "10"), round(8 * NS_PER_S))
    assert again[0].repeated
    assert again[0].answer == first
    assert tag.firmware.next_due_ns() == due_ns


def test_the_same_id_with_another_command_is_a_new_command() -> None:
    tag = Tag()
    tag.send(9, CommandVerb.VIBRATE, "3")
    assert FIRMWARE_VERSION.encode() in tag.send(9, CommandVerb.FIRMWARE_QUERY)


@pytest.mark.parametrize(
    ("verb", "argument"),
    [
        (CommandVerb.REPORT_INTERVAL, "0"),
        (CommandVerb.REPORT_INTERVAL, "nan"),
        (CommandVerb.REPORT_INTERVAL, "soon"),
        (CommandVerb.REPORT_INTERVAL, "99999"),
        (CommandVerb.VIBRATE, "0"),
        (CommandVerb.VIBRATE, "600"),
        (CommandVerb.VIBRATE, ""),
    ],
)
def test_what_the_tag_cannot_do_it_refuses(verb: CommandVerb, argument: str) -> None:
    assert b",REFUSED" in Tag().send(3, verb, argument)


def test_unknown_verbs_are_named_unknown_and_damage_is_not_answered() -> None:
    tag = Tag()
    unknown = tag.link.feed(b"$PTRGC,4,DANCE*" + b"%02X\r\n" % _xor(b"PTRGC,4,DANCE"), 0)
    assert unknown[0].outcome is CommandOutcome.UNKNOWN
    assert tag.link.feed(b"$PTRGC,5,LOCATE*00\r\n", 0) == []
    assert tag.link.rejects == 1
    # and a command cut into single bytes is one command
    pieces = encode_command(6, CommandVerb.LOCATE_NOW)
    answers = [h for i in range(len(pieces)) for h in tag.link.feed(pieces[i : i + 1], 0)]
    assert [h.command_id for h in answers] == [6]


def _xor(body: bytes) -> int:
    value = 0
    for byte in body:
        value ^= byte
    return value
