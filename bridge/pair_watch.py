"""Pairs of a wearer and a protected person: judged for who moved; her tag hears of it first, then the provider."""

from collections.abc import Callable, Iterator, Sequence, Set

from bridge.alerts.change import AlertKey, Change, Ledger
from bridge.alerts.proximity import BandTransition, find_separation, proximity_changes
from bridge.judge import FixRow, PairJudge
from bridge.orders.handover import Handover
from bridge.plan import Plan
from bridge.sampling import Sampling, Steer
from bridge.silence import Deadline, DeadlineWheel, Due
from bridge.turn import Turn
from bridge.view import DeviceView
from bridge.warning.front import WarningFront
from devices.clock import Clock
from devices.events import Stamps
from protocols.mqtt.messages import AlertKind, BandName, ProximityDetail, WearerPair


class PairWatch:
    """Follows the band of every pair.

    Parameters
    ----------
    plan : Plan
    views : sequence of DeviceView
    clock : Clock
        Ages of positions are counted on it.
    wheel : DeadlineWheel
        Told when a position becomes too old.
    ledger : Ledger
    alert : callable
        Takes every change.
    warning : WarningFront
        Takes every band, before the provider is told of it.
    steer : callable or None
        Takes the report intervals that nearness asks for; None: nobody's is changed.
    """

    def __init__(
        self,
        plan: Plan,
        views: Sequence[DeviceView],
        *,
        clock: Clock,
        wheel: DeadlineWheel,
        ledger: Ledger,
        alert: Callable[[Change], None],
        warning: WarningFront,
        steer: Callable[[Steer], None] | None,
    ) -> None:
        policy = plan.config.policy
        self._wheel = wheel
        self._reach_m = policy.reach_mps * policy.max_position_age_s
        self._sampling: Sampling | None = None
        if steer is not None:
            self._sampling = Sampling(views, near_interval_s=policy.near_interval_s, steer=steer)
        self._judge = PairJudge(plan, views)
        self._views = views
        self._by_id = {view.id: view for view in views}
        self._clock = clock
        self._ledger = ledger
        self._alert = alert
        self._warning = warning
        for wearer_idx, protected_idx in self._judge.names():
            _set_band(views[wearer_idx], views[protected_idx], BandName.UNKNOWN, None)

    def hand_over(self, handover: Handover, stamps: Stamps, turn: Turn) -> None:
        """Go on with another plan's pairs; the alerts of those that are gone are the caller's."""
        stay = {self._judge.names()[row] for row in handover.pairs_there_idx.tolist()}
        for wearer, protected in (self._both(pair) for pair in self._judge.names() if pair not in stay):
            del wearer.wearer_pairs[protected.id], protected.protected_pairs[wearer.id]
            turn.touch(wearer, stamps)
            turn.touch(protected, stamps)
        self._judge.hand_over(handover)
        changed = [handover.pairs.names[row] for row in handover.new_pairs_idx.tolist()]
        for wearer, protected in (self._both(pair) for pair in changed if pair not in stay):
            _set_band(wearer, protected, BandName.UNKNOWN, None)
            turn.touch(wearer, stamps)
            turn.touch(protected, stamps)
        for wearer_idx in dict.fromkeys(wearer_idx for wearer_idx, _ in changed):
            with turn.failures:
                view = self._views[wearer_idx]
                self.judge(view, stamps, turn)
                if view.location == "lost":
                    # Nobody will say it again before he is found.
                    self._warning.lose_wearer(view.id, self.find_reachable(view), stamps, turn)

    def _both(self, pair: tuple[int, int]) -> tuple[DeviceView, DeviceView]:
        return self._views[pair[0]], self._views[pair[1]]

    @property
    def devices(self) -> Set[int]:
        """Rows of the devices that are in any pair."""
        return self._judge.devices

    @property
    def max_age_ns(self) -> int:
        """Older positions make a pair unknown."""
        return self._judge.max_age_ns

    def take(self, row: FixRow, turn: Turn) -> None:
        """Take a device's newest live position; who is in no pair is passed over."""
        view, stamps = row.view, row.stamps
        if view.device_idx in self.devices:
            self._judge.move(row)
            self._wheel.touch(Deadline(Due.PAIR_AGE, view.device_idx), stamps.t_decoded_mono_ns + self.max_age_ns + 1)
            self.judge(view, stamps, turn)
        elif self._sampling is None or not self._sampling.is_steered(view.device_idx):
            return
        if self._sampling is not None:
            slacks = self._slacks(view, self._sampling.concerns)
            self._sampling.take(view, slacks, stamps.t_decoded_mono_ns)

    def _slacks(
        self, view: DeviceView, concerns: Callable[[int, int], bool]
    ) -> Iterator[tuple[tuple[int, int], float]]:
        return self._judge.find_slacks(view.device_idx, concerns) if view.device_idx in self.devices else iter(())

    def find_reachable(self, view: DeviceView) -> list[str]:
        """Whom a wearer could come near before his position counts as too old; nobody where the band is unknown."""
        slacks = self._slacks(view, lambda wearer_idx, _: wearer_idx == view.device_idx)
        return [self._views[protected_idx].id for (_, protected_idx), slack_m in slacks if slack_m <= self._reach_m]

    def take_order(self, view: DeviceView, interval_s: float) -> None:
        """Take a report interval that the provider set."""
        if self._sampling is not None:
            self._sampling.order(view, interval_s)

    def take_steered(self, view: DeviceView, interval_s: float | None, now_mono_ns: int) -> None:
        """Take what a tag was asked for and follows; None: it does not."""
        if self._sampling is None:
            return
        if interval_s is None:
            self._sampling.fail(view, now_mono_ns)
        else:
            self._sampling.follow(view, interval_s)

    def doubt_interval(self, view: DeviceView) -> None:
        """Take that a device fell silent by the interval that it was asked for."""
        if self._sampling is not None:
            self._sampling.doubt(view)

    def judge(self, view: DeviceView, stamps: Stamps, turn: Turn) -> None:
        """Judge the pairs that a device is in. No others: their alerts would name a person of another case."""
        for transition in self._judge.judge(view, self._clock.mono_ns(), stamps=stamps):
            wearer, protected = self._by_id[transition.wearer_id], self._by_id[transition.protected_id]
            # Her tag first: what the provider is told takes its time to be made.
            self._warning.take_band(wearer.id, protected.id, transition.band, stamps, view.id, turn)
            _note_band(transition, wearer, protected)
            key = AlertKey(device_id=wearer.id, kind=AlertKind.PROXIMITY_BREACH, about=protected.id)
            for change in proximity_changes(transition, was_raised=self._ledger.is_raised(key)):
                self._alert(change)
            turn.touch(wearer, stamps)
            turn.touch(protected, stamps)

    def doubt(self, view: DeviceView, stamps: Stamps, turn: Turn) -> None:
        """Update what an earlier start left raised and nobody could judge since: the band is unknown."""
        for pair in self._judge.names():
            if view.device_idx not in pair:
                continue
            wearer, protected = self._both(pair)
            if wearer.wearer_pairs[protected.id].band is not BandName.UNKNOWN:
                continue
            unknown = BandTransition(
                wearer_id=wearer.id,
                protected_id=protected.id,
                band=BandName.UNKNOWN,
                distance_m=None,
                wearer_fix=None,
                protected_fix=None,
                shown_by=view.id,
                stamps=stamps,
            )
            for change in proximity_changes(unknown, was_raised=True):
                raised = self._ledger.find(change.key)
                if raised is not None and raised.last.band is not BandName.UNKNOWN:
                    self._alert(change)
            turn.touch(wearer, stamps)
            turn.touch(protected, stamps)


def _note_band(transition: BandTransition, wearer: DeviceView, protected: DeviceView) -> None:
    separation = find_separation(transition)
    detail = ProximityDetail(
        wearer=wearer.id,
        band=transition.band,
        distance_m=round(separation.distance_m, 1) if separation else None,
        bearing_deg=round(separation.bearing_deg, 1) if separation else None,
    )
    _set_band(wearer, protected, transition.band, detail)


def _set_band(wearer: DeviceView, protected: DeviceView, band: BandName, detail: ProximityDetail | None) -> None:
    wearer.wearer_pairs[protected.id] = WearerPair(ref=protected.id, band=band)
    protected.protected_pairs[wearer.id] = detail or ProximityDetail(
        wearer=wearer.id, band=band, distance_m=None, bearing_deg=None
    )
