"""A bridge process that is killed leaves a journal that can be judged again, and so does the start after it."""

from collections.abc import Callable
from pathlib import Path

from bridge.config.load import load_config
from rig.replay.journal_file import read_journal
from rig.replay.judged import JudgedAgain
from rig.replay.redecode import redecode
from tests.bridge.support import ZONES_JSON, BridgeProcess, start_bridge, zigzag

__all__ = ["start_bridge"]

CONFIG = """
[zones]
file = "zones.geojson"
[capture]
folder = "captures"
journal = true
[outbox]
ballast_mib = 0
[[device]]
id = "tag"
transport = "replay:way.nmea?pace=x20"
"""


def test_a_bridge_that_is_killed_and_one_that_goes_on(
    tmp_path: Path, start_bridge: Callable[..., BridgeProcess]
) -> None:
    (tmp_path / "zones.geojson").write_text(ZONES_JSON)
    (tmp_path / "way.nmea").write_bytes(zigzag(0, 2000))
    (tmp_path / "bridge.toml").write_text(CONFIG)

    def run() -> BridgeProcess:
        bridge = start_bridge("--config", "bridge.toml")
        bridge.wait_for(lambda: len(bridge.named("alert")) >= 4, what="four alerts")
        return bridge

    run().kill()
    assert run().stop() == 0
    starts = read_journal(tmp_path / "journal.jsonl")
    again = JudgedAgain(load_config(tmp_path / "bridge.toml"), starts)
    judged = again.run()
    assert len(starts) == 2
    assert judged.differences == []
    # Raised alerts, numbers and orders went from one start to the next.
    assert starts[1].line.sequences
    assert starts[1].line.kept
    assert (
        len(judged.messages) - judged.proven <= len([note for note in judged.cautions if "died in turn" in note]) * 10
    )
    (line,) = redecode(tmp_path / "captures", starts)
    assert line.is_identical, line.differing
    assert line.reports > 20
