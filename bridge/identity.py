"""Who publishes: the names that stand in topics, sources and traces."""

import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec

from bridge.config.load import LoadedConfig
from bridge.partition import find_part, instance_name
from devices.clock import Clock
from protocols.mqtt.ids import epoch_id
from protocols.mqtt.messages import CapStatus
from protocols.mqtt.topics import default_root

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who publishes.

    Attributes
    ----------
    bridge_id : str
        The bridge's own name: its topics, its own streams, its client id. A part of several has a name of its own.
    epoch : str
        Names this start of the bridge.
    durable : bool
        Whether messages are on disk before they are sent.
    origin : str
        Stands in the sources of devices' streams, which go on when another part serves the device; empty: the bridge's
        own name.
    """

    root: str
    agency: str
    bridge_id: str
    epoch: str
    boot_id: str
    version: str
    status: CapStatus
    event_type_prefix: str
    durable: bool = False
    origin: str = ""


def make_identity(loaded: LoadedConfig, clock: Clock, epoch: str | None) -> Identity:
    """Name this start of a bridge; ``epoch`` given: as an earlier start was named."""
    bridge = loaded.config.bridge
    return Identity(
        root=bridge.topic_root or default_root(bridge.agency),
        agency=bridge.agency,
        bridge_id=instance_name(bridge.id, find_part(loaded)),
        epoch=epoch or epoch_id(t_utc_ns=clock.utc_ns(), entropy=os.urandom(10)),
        boot_id=_boot_id(),
        version=version("tagrig"),
        status=bridge.status,
        event_type_prefix=bridge.event_type_prefix,
        durable=loaded.config.outbox.durable,
        origin=bridge.id,
    )


def _boot_id() -> str:
    """Name of this boot of the machine: monotonic stamps are comparable within one. Empty where there is none."""
    try:
        return BOOT_ID_FILE.read_text().strip()
    except OSError:
        return ""


def config_hash(loaded: LoadedConfig) -> str:
    """Hash of the configuration as it was understood, comments and order aside."""
    return hashlib.sha256(msgspec.json.encode(loaded.config)).hexdigest()
