"""Proximity by radio: when her unit may hear his beacon, when it must, and whether that was told."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocols.mqtt.messages import AlertKind
from rig.runs.record import AlertSeen
from rig.truth.findings import Finding, span_text
from rig.truth.lines import Pair
from rig.truth.radio import BeaconReach
from rig.truth.situation import Situation
from rig.truth.verdict import Verdict

HEARD_LIMIT_S = 5.0
"""From the first credible advertisement to the provider, seconds: the tag weighs five seconds together."""

_NAME: Final = "beacon heard"

Explained = tuple[Finding, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardWindow:
    """He came so near that she may, and if ``latest_s`` is finite must, hear his beacon.

    ``sure``: stretches, as (from, until, settled), in which any ``settled`` seconds surely let her hear it.
    """

    earliest_s: float
    latest_s: float
    until_s: float
    sure: tuple[tuple[float, float, float], ...] = ()


def find_heard(pair: Pair, situation: Situation) -> list[HeardWindow]:
    """Find every stay within the beacon's reach."""
    scenario = situation.scenario
    wearer, bearer = scenario.find_person(pair.order.wearer), scenario.find_person(pair.ring.device)
    if wearer is None or bearer is None or wearer.beacon is None or bearer.smart_tag is None:
        return []
    if not situation.is_reachable(bearer.smart_tag.id):
        return []
    reach = BeaconReach(scenario, wearer, bearer)
    windows: list[HeardWindow] = []
    earliest_s: float | None = None
    sure_since_s: float | None = None
    latest_s = math.inf
    sure: list[tuple[float, float, float]] = []
    for look in pair.looks:
        now = reach.at(look.t_s)
        if look.true_m <= now.never_m:
            earliest_s = look.t_s if earliest_s is None else earliest_s
            if look.true_m > now.sure_m:
                sure_since_s = None
            elif sure_since_s is None:
                sure_since_s = look.t_s
            if sure_since_s is not None and look.t_s >= sure_since_s + now.settle_s:
                latest_s = min(latest_s, sure_since_s + now.settle_s)
                if sure and sure[-1][0] == sure_since_s:
                    sure[-1] = (sure_since_s, look.t_s, max(sure[-1][2], now.settle_s))
                else:
                    sure.append((sure_since_s, look.t_s, now.settle_s))
        elif earliest_s is not None:
            windows.append(HeardWindow(earliest_s=earliest_s, latest_s=latest_s, until_s=look.t_s, sure=tuple(sure)))
            earliest_s, sure_since_s, latest_s, sure = None, None, math.inf, []
    if earliest_s is not None:
        windows.append(
            HeardWindow(earliest_s=earliest_s, latest_s=latest_s, until_s=scenario.duration_s, sure=tuple(sure))
        )
    return windows


def heard_findings(situation: Situation) -> Iterator[Explained]:
    """Judge ``beacon_heard``: told where it must be, silent where it cannot be."""
    for pair in situation.pairs:
        person = situation.scenario.find_person(pair.ring.device)
        tag = None if person is None or person.smart_tag is None else person.smart_tag.id
        windows = find_heard(pair, situation)
        alerts = _told(pair, situation)
        raised = [seen for seen in alerts if not seen.alert.cleared]
        slack_s = situation.policy.allowance_s + HEARD_LIMIT_S * situation.policy.speed
        for window in windows:
            if math.isinf(window.latest_s) or situation.is_unreachable(tag or "", window.latest_s):
                continue
            due_s = situation.deadlines.after(window.earliest_s, window.latest_s + slack_s)
            if situation.deadlines.is_unseen(window.latest_s + slack_s, due_s):
                continue
            # one that came and was over again by then, while he was still there, does not tell that he is
            since_s = due_s if due_s <= window.sure[0][1] else window.earliest_s
            got = _find_standing(alerts, due_s) or next((seen for seen in raised if seen.alert.t_s > since_s), None)
            late_s = math.inf if got is None else max(0.0, got.alert.t_s - due_s)
            reason = "her unit hears his tag"
            if late_s:
                near_m = min(look.true_m for look in pair.looks if window.earliest_s <= look.t_s <= window.until_s)
                told = "it never came" if math.isinf(late_s) else f"late by {span_text(late_s)}"
                reason = f"{told}: he came to {near_m:.0f} m with his beacon on"
            yield (
                Finding(
                    what=_NAME,
                    check="beacon",
                    side="protected",
                    subject=pair.ring.device,
                    earliest_s=window.earliest_s,
                    latest_s=window.latest_s,
                    received_s=None if got is None else got.alert.t_s,
                    verdict=Verdict.FAIL if late_s else Verdict.PASS,
                    reason=reason,
                    margin_s=None if got is None else due_s - got.alert.t_s,
                    index=None if got is None else got.index,
                ),
                () if got is None else (got.index,),
            )
        yield from _without_cause(pair, windows, situation)


def _told(pair: Pair, situation: Situation) -> list[AlertSeen]:
    """Find what was told of a pair: an alert about another wearer is none of its."""
    return [
        seen
        for seen in situation.alerts
        if seen.alert.kind is AlertKind.BEACON_HEARD
        and seen.alert.subject == pair.ring.device
        and seen.alert.about in {None, pair.order.wearer}
        and not seen.late
    ]


def _is_too_soon(t_s: float, windows: list[HeardWindow], tag: str, situation: Situation) -> bool:
    """Whether his beacon was surely heard so shortly before a moment that it cannot be over by then."""
    hold_s = situation.policy.beacon_hold_s - situation.policy.allowance_s
    cut = situation.deadlines.cut(t_s) or any(
        situation.is_unreachable(tag, moment_s) for moment_s in (t_s - hold_s, t_s)
    )
    return not cut and any(
        min(until_s, t_s) - max(from_s, t_s - hold_s) >= settled_s
        for window in windows
        for from_s, until_s, settled_s in window.sure
    )


def _find_standing(alerts: list[AlertSeen], t_s: float) -> AlertSeen | None:
    """Return the message by which the alert stands at a moment."""
    last = None
    for seen in alerts:
        if seen.alert.t_s <= t_s:
            last = seen
    return last if last is not None and not last.alert.cleared else None


def _without_cause(pair: Pair, windows: list[HeardWindow], situation: Situation) -> Iterator[Explained]:
    hold_s = situation.policy.beacon_hold_s + situation.policy.allowance_s
    person = situation.scenario.find_person(pair.ring.device)
    tag = "" if person is None or person.smart_tag is None else person.smart_tag.id
    ids: set[str] = set()
    for seen in _told(pair, situation):
        alert = seen.alert
        again = bool(seen.event_id) and seen.event_id in ids
        ids.add(seen.event_id)
        end_s = situation.deadlines.after(alert.t_s, alert.t_s) if situation.deadlines.cut(alert.t_s) else alert.t_s
        near = any(w.earliest_s <= max(alert.t_s, end_s) and alert.t_s <= w.until_s + hold_s for w in windows)
        too_soon = alert.cleared and not again and _is_too_soon(alert.t_s, windows, tag, situation)
        if (near or alert.cleared) and not too_soon:
            yield _quiet(pair, _NAME + (" · over" if alert.cleared else ""), alert.t_s, seen.index)
            continue
        look = min(pair.looks, key=lambda each: abs(each.t_s - alert.t_s))
        wrong = "taken back too soon" if too_soon else "must not have fired"
        where = f"{'still ' * too_soon}{look.true_m:.0f}"
        yield (
            Finding(
                what=_NAME + (" · over" if alert.cleared else ""),
                check="silence",
                side="protected",
                subject=pair.ring.device,
                received_s=alert.t_s,
                verdict=Verdict.FAIL,
                reason=f"{wrong}: he was {where} m away",
                index=seen.index,
            ),
            (seen.index,),
        )


def _quiet(pair: Pair, what: str, t_s: float, index: int) -> Explained:
    finding = Finding(
        what=what,
        check="beacon",
        side="protected",
        subject=pair.ring.device,
        received_s=t_s,
        verdict=Verdict.PASS,
        reason="may have come: his beacon is within reach",
        index=index,
    )
    return finding, (index,)
