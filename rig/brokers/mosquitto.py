"""mosquitto on the bench, with any configuration."""

import os
from collections.abc import Sequence
from enum import StrEnum, unique
from pathlib import Path

from rig.brokers.errors import BrokerProcessError
from rig.brokers.process import LOOPBACK, BrokerProcess, find_program, free_ports


@unique
class Keeping(StrEnum):
    """What mosquitto has on disk of what it acknowledged."""

    NOTHING = "nothing"
    """Its default in effect: written every half hour. A crash loses every queue and session."""
    EACH_CHANGE = "each change"
    """``autosave_on_changes``: sessions and queues are back after a crash; slow once a queue has grown."""


class MosquittoBroker(BrokerProcess):
    """A mosquitto that takes anybody in plain text, unless ``lines`` say otherwise.

    Parameters
    ----------
    folder : Path
        Configuration, store and log.
    keeping : Keeping
    queue_max : int
        ``max_queued_messages`` per session; 0: no limit. Its own default of 1,000 drops what it has acknowledged.
    lines : sequence of str
        Further lines of its configuration, for example ``acl_file``, ``password_file`` or ``cafile``.
    anonymous : bool
        Whether clients without a name may connect.
    host, port, namespace
        See `BrokerProcess`; without a port a free one is taken.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keeping: Keeping = Keeping.EACH_CHANGE,
        queue_max: int = 0,
        lines: Sequence[str] = (),
        anonymous: bool = True,
        host: str = LOOPBACK,
        port: int | None = None,
        namespace: str | None = None,
    ) -> None:
        program = find_program("mosquitto")
        if program is None:
            raise BrokerProcessError("mosquitto is not installed. Next: apt install mosquitto")
        port = port if port is not None else free_ports(1)[0]
        folder.mkdir(parents=True, exist_ok=True)
        said = [
            f"listener {port} {host}",
            f"allow_anonymous {str(anonymous).lower()}",
            f"max_queued_messages {queue_max}",
            "set_tcp_nodelay true",
            "log_dest stderr",
            "log_type all",
        ]
        if keeping is Keeping.EACH_CHANGE:
            said += [
                "persistence true",
                f"persistence_location {folder}/",
                "autosave_interval 1",
                "autosave_on_changes true",
            ]
        if os.geteuid() == 0:
            # Else it becomes the user "mosquitto", who may not write into our folder.
            said.append("user root")
        config = folder / "mosquitto.conf"
        config.write_text("\n".join([*said, *lines]) + "\n")
        super().__init__("mosquitto", [program, "-c", str(config)], folder, host=host, port=port, namespace=namespace)
