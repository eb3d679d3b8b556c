"""Whether anybody could say who is near her, and reach her: when cover is lost, when it is back, and who was told."""

import math
from collections.abc import Iterable, Iterator
from typing import Final

from protocols.mqtt.messages import AlertKind
from rig.scenario import PersonTable
from rig.truth.findings import Finding, span_text
from rig.truth.lines import Line, LineKey
from rig.truth.silence import silence_of, slack_s, tag_silence
from rig.truth.situation import Situation
from rig.truth.spans import Side
from rig.truth.stretches import Owing, merged, spans_of
from rig.truth.verdict import Verdict

LINK_S: Final = 8.0
"""Tag seconds in which a word that is no danger reaches her tag: cover waits until a link is made anyway."""

_NAME: Final = "nobody could say who is near her, or reach her"

Explained = tuple[Finding, tuple[int, ...]]


def covered_people(situation: Situation) -> Iterator[tuple[PersonTable, list[str]]]:
    """Find the protected persons whom a smart tag was issued to, each with the wearers of her orders."""
    for person in situation.scenario.person:
        if person.smart_tag is None or not person.smart_tag.issued:
            continue
        wearers = [
            order.wearer
            for order in situation.scenario.order
            if any(ring.device == person.device for ring in order.protected)
        ]
        if wearers:
            yield person, wearers


def cover_owing(situation: Situation, person: PersonTable, wearers: list[str]) -> Owing:
    """Find when she is not covered: one of them is not located, or her tag is not there."""
    owing = tag_silence(situation, person.smart_tag.id) if person.smart_tag is not None else Owing()
    return owing | place_owing(situation, person, wearers)


def place_owing(situation: Situation, person: PersonTable, wearers: list[str]) -> Owing:
    """Find when it cannot be said who is near her, because somebody is not located."""
    policy, owing = situation.policy, Owing()
    for device in (person.device, *wearers):
        log = situation.logs.get(device)
        if log is None:
            return Owing(may=((0.0, situation.scenario.duration_s),))
        quick = silence_of(situation, device, log, positions=True)
        if device != person.device:
            # how far he may be before his silence matters is the bridge's to say, up to the age that ends all trust
            aged = aged_places(situation, (device,))
            quick = Owing(must=aged.must, may=(*quick.may, *aged.may))
        owing |= quick
    low = policy.battery_critical_pct + policy.battery_hysteresis_pct
    if person.battery_pct <= low:
        owing |= Owing(may=((0.0, situation.scenario.duration_s),))
    return owing


def aged_places(situation: Situation, devices: Iterable[str]) -> Owing:
    """Find when a position is too old to say who is near."""
    owing = Owing()
    for device in devices:
        log = situation.logs.get(device)
        if log is not None:
            owing |= silence_of(situation, device, log, positions=True, limit_s=situation.policy.max_position_age_s)
    return owing


def cover_lines(situation: Situation) -> Iterator[Line]:
    """Make the line of ``cover_lost`` of each protected person."""
    settle_s = situation.policy.cover_settle_s + slack_s(situation) + situation.policy.allowance_s
    for person, wearers in covered_people(situation):
        owing = cover_owing(situation, person, wearers)
        # told as back only after it has held for a while
        may = tuple((from_s, until_s + settle_s) for from_s, until_s in merged((*owing.may, *owing.must)))
        yield Line(
            key=LineKey(kind=AlertKind.COVER_LOST, side="protected", subject=person.device),
            name=_NAME,
            on_side=Side.IN,
            spans=tuple(spans_of(Owing(must=owing.must, may=may), duration_s=situation.scenario.duration_s)),
        )


def cover_told(situation: Situation) -> Iterator[Explained]:
    """Judge what she felt of it: each loss that is not her tag's own is told to her, and never as that he is near."""
    for person, wearers in covered_people(situation):
        tag = person.smart_tag.id if person.smart_tag is not None else ""
        if not situation.is_reachable(tag):
            continue
        owing = place_owing(situation, person, wearers)
        may = merged((*owing.may, *owing.must))
        felt = [each for each in situation.record.felt if each.tag == tag]
        for from_s, until_s in merged(owing.must):
            limit_s = LINK_S * situation.policy.speed + situation.policy.allowance_s
            if until_s - from_s <= limit_s or situation.is_unreachable(tag, from_s):
                continue
            begun_s = next((a for a, b in may if a <= from_s <= b), from_s)
            warned = [each.level for each in felt if each.t_s <= from_s + limit_s]
            told = next((f.t_s for f in felt if f.text == "cover_lost" and begun_s <= f.t_s <= until_s), math.inf)
            late_s = max(0.0, told - from_s - limit_s)
            if late_s and warned and warned[-1] > 1:
                # she is warned of more than that
                continue
            reason = "she is told that she is not covered"
            if late_s:
                reason = "she was never told" if math.isinf(late_s) else f"late by {span_text(late_s)}"
            yield (
                Finding(
                    what="her tag tells her that cover is lost",
                    check="warning",
                    side="smart_tag",
                    subject=tag,
                    earliest_s=begun_s,
                    latest_s=from_s,
                    received_s=None if math.isinf(told) else told,
                    verdict=Verdict.FAIL if late_s else Verdict.PASS,
                    reason=reason,
                    margin_s=None if math.isinf(told) else from_s + limit_s - told,
                ),
                (),
            )
