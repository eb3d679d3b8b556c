"""A process that only writes to an outbox: tells on stdout what is confirmed, so that it can be killed at any moment.

Arguments: folder, how many messages (0: until killed), messages per commit, ballast in bytes, seconds before the next
trial of a disk that failed. Each line of stdout is ``first last durable`` or ``trouble kind is_over``.
"""

import sys
from pathlib import Path

from bridge.outbox import disk
from bridge.outbox.durable import DurableOutbox
from bridge.outbox.port import OutboxTrouble
from bridge.publisher import Lane, Message, Saved
from devices.clock import SystemClock

TOPICS = 5


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_trouble(trouble: OutboxTrouble) -> None:
    say(f"trouble {trouble.kind} {int(trouble.is_over)}")


def made(n: int) -> Message:
    topic = f"t/{n % TOPICS}"
    return Message(
        topic=topic,
        body=b"%d " % n + b"x" * 600,
        lane=Lane.POSITION if n % 7 == 3 else Lane.ALERT,
        owner=topic,
        event_id=f"id-{n}",
        source=f"urn:{topic}",
        sequence=n,
        saves=(Saved(owner=topic, key="ledger/last", value=b"%d" % n),),
    )


def main() -> None:
    folder, count, batch, ballast_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    disk.RETRY_DISK_NS = int(float(sys.argv[5]) * 1e9)
    clock = SystemClock()
    outbox, recovered = DurableOutbox.open(
        folder, paths=1, clock=clock, ballast_bytes=ballast_bytes, on_trouble=say_trouble
    )
    n = 1 + max(recovered.sequences.values(), default=0)
    end = n + count if count else 2**62
    say(f"open {n}")
    while n < end:
        now = clock.mono_ns()
        messages = [made(n + more) for more in range(batch)]
        is_durable = outbox.write(messages, now)
        say(f"{n} {n + batch - 1} {int(is_durable)}")
        n += batch
        # As in the bridge: some of it is delivered in between, so that the end meets lazy changes as well.
        for _ in range(batch):
            entry = outbox.find_next(0, now) if n % 3 else None
            if entry is not None:
                outbox.mark_delivered(0, entry.number, now)
                say(f"sent {int(entry.message.body.split()[0])} {int(entry.is_durable)}")
        outbox.flush_acks(clock.mono_ns())
        if count:
            # In step with the test, that makes and ends faults between two commits.
            sys.stdin.readline()
    outbox.close()
    say("closed")


if __name__ == "__main__":
    main()
