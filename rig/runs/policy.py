"""What the bridge of a run was told, in the scenario's seconds, read from its configuration as a file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rig.errors import RunFolderError
from rig.runs.folder import BRIDGE_FILE, RunFile
from rig.truth.expectation import JudgePolicy

RECONNECT_S: Final = 8.0
"""Seconds of the run's clock in which bridge and subscriber find a broker that is back: they try at last every five."""

_INTERVAL_S: Final = 1.0
_SILENCE_BUFFER_S: Final = 10.0
_BATTERY: Final = {"battery_low_pct": 20, "battery_critical_pct": 10, "battery_hysteresis_pct": 5}
"""Defaults of the bridge's configuration (``bridge/README.md``), where a file is silent."""

_WARNING: Final = {
    "cover_settle_s": 30.0,
    "start_grace_s": 120.0,
    "confirm_limit_s": 5.0,
    "beacon_hold_s": 60.0,
}
_BEACON_WITHIN_M: Final = 30.0
_MAX_POSITION_AGE_S: Final = 120.0
_NEAR_INTERVAL_S: Final = 5.0
"""Defaults likewise; these are times of the bridge's own clock."""


def read_policy(folder: Path, file: RunFile) -> JudgePolicy:
    """Read a run's ``bridge.toml``.

    Raises
    ------
    RunFolderError
        It is missing or no TOML.
    """
    path = folder / BRIDGE_FILE
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise RunFolderError(f"{path}: the bridge's configuration cannot be read: {exc}") from exc
    policy, warning = config.get("policy", {}), config.get("warning", {})
    silence_s = {
        str(device["id"]): (
            float(device.get("interval_s", _INTERVAL_S)) + float(device.get("silence_buffer_s", _SILENCE_BUFFER_S))
        )
        * file.speed
        for device in config.get("device", [])
        if device.get("kind") != "smart_tag"
    }
    return JudgePolicy(
        exit_margin_m=float(policy.get("exit_margin_m", 0.0)),
        silence_s=silence_s,
        reconnect_s=RECONNECT_S * file.speed,
        speed=file.speed,
        allowance_s=file.allowance_s,
        near_interval_s=float(policy.get("near_interval_s", _NEAR_INTERVAL_S)) * file.speed,
        max_position_age_s=float(policy.get("max_position_age_s", _MAX_POSITION_AGE_S)) * file.speed,
        beacon_within_m=float(warning.get("beacon_within_m", _BEACON_WITHIN_M)),
        cover_settle_s=_seconds(warning, "cover_settle_s", file),
        start_grace_s=_seconds(warning, "start_grace_s", file),
        confirm_limit_s=_seconds(warning, "confirm_limit_s", file),
        beacon_hold_s=_seconds(warning, "beacon_hold_s", file),
        **{name: int(policy.get(name, default)) for name, default in _BATTERY.items()},
    )


def _seconds(section: Mapping[str, float], name: str, file: RunFile) -> float:
    """Read a time of the bridge's clock as tag seconds."""
    return float(section.get(name, _WARNING[name])) * file.speed
