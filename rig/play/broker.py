"""The broker of a run: a real one, killed and started again as the scenario wants."""

from collections.abc import Callable
from typing import Literal

from rig.brokers.errors import BrokerProcessError
from rig.brokers.mosquitto import Keeping, MosquittoBroker
from rig.brokers.nats import NatsBroker
from rig.brokers.process import BrokerProcess, find_program
from rig.errors import BenchBrokenError
from rig.faults.mqtt_way import MqttWay
from rig.play.settings import PlaySettings
from rig.runs.folder import BROKER_FOLDER


class RunBroker:
    """The broker.

    Parameters
    ----------
    settings : PlaySettings
    keeps : bool
        Whether it will be killed, and must have on disk what it acknowledged.

    Attributes
    ----------
    way : MqttWay or None
        What stands between bridge and broker, where something does; on virtual time nothing could be slow there.
    """

    def __init__(self, settings: PlaySettings, *, keeps: bool) -> None:
        kind = settings.broker
        if kind == "auto":
            kind = "mosquitto" if find_program("mosquitto") is not None else "nats"
        folder = settings.folder / BROKER_FOLDER
        self.kind: Literal["mosquitto", "nats"] = kind
        self.version: Literal["5", "3.1.1"] = "5" if kind == "mosquitto" else "3.1.1"
        self.is_up = False
        self.way: MqttWay | None = None
        self.on_up: list[Callable[[], None]] = []
        self.on_down: list[Callable[[], None]] = []
        self._process: BrokerProcess
        try:
            if kind == "mosquitto":
                keeping = Keeping.EACH_CHANGE if keeps else Keeping.NOTHING
                self._process = MosquittoBroker(folder, keeping=keeping)
            else:
                self._process = NatsBroker(folder, sync_always=keeps)
        except BrokerProcessError as exc:
            raise BenchBrokenError(str(exc)) from exc

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self._process.url

    @property
    def port(self) -> int:
        """Its MQTT listener."""
        return self._process.port

    def launch(self) -> None:
        """Start it and return once it listens.

        Raises
        ------
        BenchBrokenError
            It did not start.
        """
        try:
            self._process.start()
        except BrokerProcessError as exc:
            raise BenchBrokenError(str(exc)) from exc
        self.is_up = True
        for call in self.on_up:
            call()

    async def kill(self) -> None:
        """End it as a crash would; harmless where it does not run."""
        self.end()

    async def start(self) -> None:
        """Start it again on its port and its store; harmless where it runs."""
        if not self.is_up:
            self.launch()

    def end(self) -> None:
        """End it."""
        if self.is_up:
            self.is_up = False
            self._process.kill()
            for call in self.on_down:
                call()
