"""What a change of orders does to alerts and deadlines; called by the pipeline in one turn of the loop."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from bridge.alerts.change import Change, Ledger
from bridge.alerts.withdrawn import WEARER_KINDS, ZONE_KINDS, withdrawn_change
from bridge.judge import FixRow
from bridge.orders.handover import Handover
from bridge.plan import Plan
from bridge.silence import Deadline, DeadlineWheel, Due
from bridge.turn import Turn
from bridge.view import DeviceView
from devices.events import Stamps
from protocols.mqtt.messages import AlertKind


def withdraw(
    plan: Plan,
    ledger: Ledger,
    views: Mapping[str, DeviceView],
    stamps: Stamps,
    turn: Turn,
    alert: Callable[[Change], None],
) -> None:
    """Cancel the alerts about zones and pairs that a plan does not judge; the views know its pairs already."""
    about: dict[str, set[str]] = {}
    for raised in ledger.all():
        key, last = raised.last.key, raised.last
        view = views.get(key.device_id)
        if view is None:
            continue
        if key.kind in ZONE_KINDS:
            stays = last.zone is not None and plan.has_zone(view.device_idx, last.zone)
        elif key.kind is AlertKind.PROXIMITY_BREACH:
            stays = key.about in view.wearer_pairs or key.about in view.protected_pairs
        elif key.kind in WEARER_KINDS:
            about = about or {each.person: {"", each.beacon_wearer, *each.wearers} for each in plan.charges}
            stays = key.about in about.get(key.device_id, ())
        else:
            # A smart tag that tells nobody's place may well have no receiver.
            placeless = view.is_smart_tag and not view.wearer_pairs and not view.protected_pairs
            stays = not (key.kind is AlertKind.LOCATION_LOST and placeless)
        if not stays:
            with turn.failures:
                alert(withdrawn_change(last, stamps))
                turn.touch(view, stamps)


def arm_places(handover: Handover, views: Sequence[DeviceView], wheel: DeadlineWheel, now_mono_ns: int) -> None:
    """Watch over the places of devices that are in a pair now, and no more over those of tags that are in none."""
    max_age_ns = int(handover.plan.config.policy.max_position_age_s * 1e9)
    old = handover.before.pairs
    before = {*old.wearer_idx.tolist(), *old.protected_idx.tolist()}
    now = handover.pairs.of_device.keys()
    for view in (views[idx] for idx in now - before):
        if view.newest is not None:
            due_mono_ns = view.newest.stamps.t_decoded_mono_ns + max_age_ns + 1
            wheel.touch(Deadline(Due.PAIR_AGE, view.device_idx), due_mono_ns)
        if view.is_smart_tag and view.location != "lost" and not view.has_ended:
            wheel.touch(Deadline(Due.LOCATION, view.device_idx), now_mono_ns + view.limit_ns)
    for view in (views[idx] for idx in before - now):
        wheel.cancel(Deadline(Due.PAIR_AGE, view.device_idx))
        if view.is_smart_tag:
            wheel.cancel(Deadline(Due.LOCATION, view.device_idx))
            if view.location == "lost":
                view.location = "unknown"


def find_recent(views: Sequence[DeviceView], wanted: Iterable[int], oldest_mono_ns: int) -> list[FixRow]:
    """Newest positions of some devices, as far as they still say where somebody is."""
    rows = (views[idx].newest for idx in sorted(wanted))
    return [row for row in rows if row is not None and row.stamps.t_decoded_mono_ns >= oldest_mono_ns]
