"""``python -m rig.backtest.worker INDEX``: judge chunks from standard input until it ends.

The first frame says by which rules; each further one is a chunk, answered by what was judged. It loads neither pyarrow
nor anything else of the run.
"""

import os
import sys
from pathlib import Path

from rig.backtest import frames, index
from rig.backtest.judge import Rules, judge_chunk


def main() -> None:
    """Serve one run."""
    # a stray print must not get between two frames
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    zones = index.load(Path(sys.argv[1]))
    first = frames.receive(sys.stdin.buffer)
    if first is None:
        return
    rules = frames.unpack(first)
    assert isinstance(rules, Rules)
    while (data := frames.receive(sys.stdin.buffer)) is not None:
        chunk = frames.unpack(data)
        del data
        frames.send(answers, frames.pack(judge_chunk(zones, rules, chunk)))


if __name__ == "__main__":
    main()
