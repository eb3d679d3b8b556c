"""From a configuration to what one process serves of it: its part, its plan, its outbox."""

from dataclasses import dataclass
from pathlib import Path

from bridge.config.load import LoadedConfig
from bridge.errors import LayoutBusyError, OutboxError, OutboxLockedError
from bridge.outbox.layout import Home, take_home
from bridge.partition import find_part, restrict
from bridge.plan import Plan, make_plan
from devices.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedBridge:
    """What a bridge is made of.

    ``outbox_folder`` is None where nothing is kept on disk: by configuration, or because of ``disk_trouble``.
    """

    loaded: LoadedConfig
    plan: Plan
    outbox_folder: Path | None = None
    disk_trouble: str | None = None
    home: Home | None = None

    def close(self) -> None:
        """Let the layout be changed; once the outbox is closed."""
        if self.home is not None:
            self.home.close()


def open_bridge(loaded: LoadedConfig, clock: Clock) -> OpenedBridge:
    """Take a bridge's place among those that share its configuration, and make its plan.

    Raises
    ------
    ConfigError
        The configuration cannot be used.
    LayoutBusyError, OutboxLockedError
        Another bridge has the outbox, or it must be shared out anew while bridges run.
    """
    part = find_part(loaded)
    if not loaded.config.outbox.durable:
        loaded = restrict(loaded, part)
        return OpenedBridge(loaded=loaded, plan=make_plan(loaded))
    try:
        home = take_home(loaded.path_of(loaded.config.outbox.folder), loaded.config, part, clock=clock)
    except (LayoutBusyError, OutboxLockedError):
        raise
    except OutboxError as exc:
        # A disk that broke since the last start must not leave a protected person without a bridge.
        loaded = restrict(loaded, part)
        return OpenedBridge(loaded=loaded, plan=make_plan(loaded), disk_trouble=str(exc))
    try:
        loaded = restrict(loaded, part, ties=home.ties)
        return OpenedBridge(loaded=loaded, plan=make_plan(loaded), outbox_folder=home.folder, home=home)
    except BaseException:
        home.close()
        raise
