"""What the bridge of a run was told, in the scenario's seconds, read from its configuration as a file."""

import tomllib
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
    policy = config.get("policy", {})
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
        **{name: int(policy.get(name, default)) for name, default in _BATTERY.items()},
    )
