"""What devices tell of the past: runs of late reports, judged by themselves and closed when they are over."""

import dataclasses
from collections.abc import Callable

from bridge.alerts.change import Change, Ledger
from bridge.alerts.zones import end_of_late_run, zone_change
from bridge.judge import FixRow, ZoneJudge
from bridge.silence import Deadline, DeadlineWheel, Due
from bridge.turn import Turn, judged
from bridge.view import DeviceView
from devices.events import Stamps


class LateReports:
    """Follows the runs of late reports of all devices.

    Parameters
    ----------
    judge : ZoneJudge
        One for what is told late only.
    ledger : Ledger
    alert : callable
        Takes every change.
    wheel : DeadlineWheel
        A run without further reports ends by its deadline.
    """

    def __init__(
        self, judge: ZoneJudge, *, ledger: Ledger, alert: Callable[[Change], None], wheel: DeadlineWheel
    ) -> None:
        self.judge = judge
        self._ledger = ledger
        self._alert = alert
        self._wheel = wheel

    def take(self, turn: Turn) -> None:
        """Judge a batch's late fixes run by run."""
        pending: list[FixRow] = []
        for row in turn.late:
            run = row.view.late_run
            if run.is_ended_by(row.t_utc_ns):
                self._judge_run(pending, turn)
                pending = []
                with turn.failures:
                    self.end_run(row.view, row.stamps)
            self.note(row.view, row.stamps)
            pending.append(dataclasses.replace(row, t_judge_ns=run.take(row.t_utc_ns)))
        self._judge_run(pending, turn)

    def note(self, view: DeviceView, stamps: Stamps) -> None:
        """Note a late report: its run goes on."""
        view.late_run.is_open = True
        self._wheel.touch(Deadline(Due.LATE_RUN, view.device_idx), stamps.t_decoded_mono_ns + view.limit_ns)

    def end_run(self, view: DeviceView, stamps: Stamps) -> None:
        """Close what a device's run left raised."""
        view.late_run.close()
        self._wheel.cancel(Deadline(Due.LATE_RUN, view.device_idx))
        self.judge.reset_time(view.device_idx, forget=True)
        for raised in list(self._ledger.of_device(view.id, late=True)):
            self._alert(end_of_late_run(raised.last, stamps))

    def is_told(self, late: Change) -> bool:
        """Whether a live alert that is raised says the same as this late one.

        A fix that is late but not from a memory is of about now: its receiver's clock was set back.
        """
        live = self._ledger.find(dataclasses.replace(late.key, late=False))
        return late.raised and live is not None and (not late.stored or late.occurred_utc_ns >= live.raised_utc_ns)

    def _judge_run(self, rows: list[FixRow], turn: Turn) -> None:
        for transition in judged(self.judge, rows, turn.failures):
            change = zone_change(transition)
            if not self.is_told(change):
                with turn.failures:
                    self._alert(change)
