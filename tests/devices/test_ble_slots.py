"""Who holds an adapter's connections, by the clock of the test."""

from devices.ble_slots import MIN_HOLD_NS, Claim, SlotPlan, Urgency, plan_slots

S = 1_000_000_000
NOW = 1_000 * S


def waiting(device_id: str, urgency: Urgency = Urgency.ROUTINE, *, unlinked_s: int = 0) -> Claim:
    return Claim(device_id=device_id, urgency=urgency, last_linked_mono_ns=NOW - unlinked_s * S, is_ready=True)


def linked(device_id: str, urgency: Urgency = Urgency.ROUTINE, *, for_s: int = 0) -> Claim:
    since = NOW - for_s * S
    return Claim(device_id=device_id, urgency=urgency, last_linked_mono_ns=since, linked_since_mono_ns=since)


def trying(device_id: str, urgency: Urgency = Urgency.ROUTINE) -> Claim:
    return Claim(device_id=device_id, urgency=urgency, last_linked_mono_ns=NOW, is_connecting=True)


def plan(*claims: Claim, n_slots: int = 2) -> SlotPlan:
    return plan_slots(claims, n_slots=n_slots, now_mono_ns=NOW)


def test_nobody_ready_is_nothing_to_do() -> None:
    assert plan(linked("a"), trying("b")) == SlotPlan()


def test_longest_unlinked_connects_first() -> None:
    assert plan(waiting("a", unlinked_s=3), waiting("b", unlinked_s=9)).connect == "b"


def test_alarm_goes_before_sos_before_a_notice_before_the_longest_unlinked() -> None:
    claims = [
        waiting("a", unlinked_s=99),
        waiting("b", Urgency.NOTICE, unlinked_s=9),
        waiting("c", Urgency.SOS),
        waiting("d", Urgency.ALARM),
    ]
    assert plan(*claims).connect == "d"
    assert plan(*claims[:3]).connect == "c"
    assert plan(*claims[:2]).connect == "b"


def test_one_attempt_at_a_time_and_it_gives_way_to_a_more_urgent_tag_only() -> None:
    assert plan(trying("a"), waiting("b")) == SlotPlan()
    assert plan(trying("a"), waiting("b", Urgency.ALARM)) == SlotPlan(abandon="a")
    assert plan(trying("a", Urgency.ALARM), waiting("b", Urgency.ALARM)) == SlotPlan()


def test_a_full_adapter_gives_a_place_to_an_alarm_at_once() -> None:
    claims = [linked("a", for_s=1), linked("b", for_s=2), waiting("c", Urgency.ALARM)]
    assert plan(*claims) == SlotPlan(release="b")


def test_an_alarm_keeps_its_place_against_everybody() -> None:
    claims = [linked("a", Urgency.ALARM, for_s=999), linked("b", Urgency.SOS, for_s=999), waiting("c", unlinked_s=999)]
    assert plan(*claims) == SlotPlan()


def test_equals_take_turns_after_the_time_to_hold() -> None:
    hold_s = MIN_HOLD_NS // S
    early = [linked("a", for_s=hold_s - 1), linked("b", for_s=1), waiting("c", unlinked_s=60)]
    late = [linked("a", for_s=hold_s), linked("b", for_s=1), waiting("c", unlinked_s=60)]
    assert plan(*early) == SlotPlan()
    assert plan(*late) == SlotPlan(release="a")
