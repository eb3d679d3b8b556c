"""The provider's side of a run: every message as its subscriber got it, and whether the contract was kept."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from rig.errors import ScenarioError
from rig.provider.check.client import Came
from rig.provider.check.ledger import Ledger
from rig.pytest_plugin.played import Arrived, PlayedRun
from rig.runs.folder import MESSAGES_FILE
from rig.runs.load import read_lines
from rig.runs.received import Received


class ProviderView:
    """What the provider has of the run that a test has played last.

    Parameters
    ----------
    runs : sequence of PlayedRun
        Grows while the test plays.
    """

    def __init__(self, runs: Sequence[PlayedRun]) -> None:
        self._runs = runs

    @property
    def _run(self) -> PlayedRun:
        if not self._runs:
            raise ScenarioError("nothing was played yet. Next: run = scenario.play(...) before the provider is asked")
        return self._runs[-1]

    @property
    def alerts(self) -> list[Arrived]:
        """All alerts."""
        return self._run.alerts

    def messages(self, topic: str = "*") -> list[Received]:
        """Return all messages whose topic fits a pattern such as ``*/alert``, in the order of their arrival."""
        return [each for each in self._all() if fnmatchcase(each.topic, topic)]

    @property
    def problems(self) -> list[str]:
        """What does not keep to the contract: bodies, envelopes, privacy, numbers that are missing or stand twice."""
        ledger = Ledger()
        file = self._run.loaded.file
        for message in self._all():
            ledger.take(
                Came(
                    topic=message.topic,
                    # an empty body takes a retained state away; a line of JSON has null for it
                    body=b"" if message.payload == b"null" else bytes(message.payload),
                    retain=message.retain,
                    is_duplicate=False,
                    properties=None,
                    content_type=None,
                    t_mono_ns=message.t_sub_mono_ns,
                    t_utc_ns=file.start_utc_ns + message.t_sub_mono_ns - file.start_mono_ns,
                )
            )
        tallies = (ledger.schema, ledger.envelope, ledger.privacy, ledger.same_again, ledger.numbering)
        found = [example for tally in tallies for example in tally.examples]
        for source, numbers in ledger.delivered.missing_by_source().items():
            found.append(f"{source}: {len(numbers)} messages never came: {', '.join(map(str, numbers[:10]))}")
        return found

    def _all(self) -> Iterator[Received]:
        return read_lines(self._run.folder / MESSAGES_FILE, Received)
