"""What devices say of themselves: an ankle tag in its status, a smart tag in pieces."""

from collections.abc import Callable

from bridge.alerts.change import AlertKey, Change, Ledger
from bridge.alerts.equipment import BatteryPolicy, battery_changes, equipment_changes
from bridge.config.schema import PolicySection
from bridge.turn import Turn
from bridge.view import DeviceView
from bridge.warning.front import WarningFront
from devices.events import Stamps
from protocols.mqtt.messages import AlertKind
from protocols.reports import TagStatus


class EquipmentWatch:
    """Compares what devices say of themselves with what is raised.

    Parameters
    ----------
    policy : PolicySection
    ledger : Ledger
    alert : callable
        Takes every change.
    warning : WarningFront
        Learns of a smart tag whose battery will end soon.
    """

    def __init__(
        self, policy: PolicySection, *, ledger: Ledger, alert: Callable[[Change], None], warning: WarningFront
    ) -> None:
        self._battery = BatteryPolicy(
            low_pct=policy.battery_low_pct,
            critical_pct=policy.battery_critical_pct,
            hysteresis_pct=policy.battery_hysteresis_pct,
        )
        self._ledger = ledger
        self._alert = alert
        self._warning = warning

    def take_status(
        self, view: DeviceView, status: TagStatus, stamps: Stamps, *, late: bool, is_told: Callable[[Change], bool]
    ) -> None:
        """Judge a status; ``is_told`` says of a late change whether a live alert tells the same."""
        if not late:
            view.status = status
            if status.t_status_utc_ns is not None:
                view.status_utc_ns = status.t_status_utc_ns
            equipment = (status.strap, status.case, status.shielded, status.jamming, status.battery_pct)
            if equipment == view.judged_equipment:
                return
            view.judged_equipment = equipment
        for change in equipment_changes(
            status,
            device_id=view.id,
            stamps=stamps,
            battery=self._battery,
            is_raised=self._ledger.is_raised,
            late=late,
        ):
            if not (late and is_told(change)):
                self._alert(change)

    def take_battery(self, view: DeviceView, battery_pct: int, stamps: Stamps, turn: Turn) -> None:
        """Judge a smart tag's battery."""
        if battery_pct == view.battery_pct:
            return
        view.battery_pct = battery_pct
        for change in battery_changes(
            battery_pct,
            device_id=view.id,
            occurred_utc_ns=stamps.t_rx_utc_ns,
            stamps=stamps,
            battery=self._battery,
            is_raised=self._ledger.is_raised,
        ):
            self._alert(change)
        critical = self._ledger.is_raised(AlertKey(device_id=view.id, kind=AlertKind.BATTERY_CRITICAL))
        self._warning.take_battery(view, critical, stamps, turn)
