"""From what the ledger counted to findings: one promise of the contract each, with what to do if it does not hold."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from rig.provider.check.findings import Finding, Verdict
from rig.provider.check.ledger import MAX_EXAMPLES, BridgeSeen, Ledger, Tally
from rig.provider.streams import StreamCheck

SILENCE_FACTOR = 2.5
"""Heartbeats apart by more than this times their interval are a silence: two in a row did not come in time."""


def find_all(ledger: Ledger, *, heartbeat_s: float, max_latency_s: float, now_mono_ns: int) -> Iterator[Finding]:
    """Judge everything that listening alone can show."""
    yield _bodies(ledger.schema)
    yield _tally(
        "envelope",
        ledger.envelope,
        "envelopes agree with their topics",
        "compare the topic with subject, type and sequence; a gateway that renames topics must not do so here",
    )
    yield _tally(
        "properties", ledger.properties, "messages whose MQTT 5 properties agree with their body", "look for a gateway"
    )
    yield _tally(
        "privacy",
        ledger.privacy,
        "messages below tag/ and control/ without her position, distance or bearing",
        "stop the readers below tag/ and report it: this is a fault of the bridge or of a gateway",
    )
    yield from _streams(ledger)
    yield from _retained(ledger)
    yield from _heartbeats(ledger, heartbeat_s, now_mono_ns)
    yield _latency(ledger.latencies_s, max_latency_s)
    yield from _outbox(ledger)


def _bodies(tally: Tally) -> Finding:
    total = tally.good + tally.bad
    if not total:
        return Finding(
            check="schema",
            verdict=Verdict.UNSET,
            told="no message of a bridge came",
            next_step="check the root (--agency, --root), the access list, and that the bridge runs",
        )
    return _tally(
        "schema",
        tally,
        "bodies can be read as the contract says",
        "tagrig contract --print shows what each topic carries; look for a gateway that changes bodies",
    )


def _tally(check: str, tally: Tally, what: str, next_step: str) -> Finding:
    total = tally.good + tally.bad
    if not total:
        return Finding(check=check, verdict=Verdict.UNSET, told="nothing came that could show it")
    return Finding(
        check=check,
        verdict=Verdict.FAIL if tally.bad else Verdict.PASS,
        told=f"{tally.good} of {total} {what}",
        next_step=next_step if tally.bad else "",
        examples=tuple(tally.examples),
    )


def _streams(ledger: Ledger) -> Iterator[Finding]:
    check = ledger.delivered
    if not check.received:
        for name in ("gaps", "order", "duplicates"):
            yield Finding(
                check=name,
                verdict=Verdict.UNSET,
                told="no alert, warning, incident or reply came",
                next_step="listen longer (--for-s), or make a tag cross a zone",
            )
    else:
        yield Finding(
            check="gaps",
            verdict=Verdict.FAIL if check.missing else Verdict.PASS,
            told=f"{check.missing} numbers missing among {check.received} events of {len(ledger.last_of)} streams",
            next_step=(
                "the broker dropped them: raise its queue limits (mosquitto: max_queued_messages 0), keep one "
                "persistent session, and ask the bridge for them (command replay)"
            )
            if check.missing
            else "",
            examples=tuple(_missing(check)),
        )
        yield Finding(
            check="order",
            verdict=Verdict.PASS,
            told=f"{check.out_of_order} came after a newer one of their stream"
            + (": allowed after a reconnect; order by sequence, not by arrival" if check.out_of_order else ""),
        )
        yield Finding(
            check="duplicates",
            verdict=Verdict.FAIL if ledger.same_again.bad or ledger.numbering.bad else Verdict.PASS,
            told=f"{ledger.same_again.good} came again with the same id and content"
            + (": allowed; drop them by source and id" if ledger.same_again.good else "")
            + (f", {ledger.same_again.bad} with another content" if ledger.same_again.bad else "")
            + (f", {ledger.numbering.bad} numbers were given twice" if ledger.numbering.bad else ""),
            next_step="a bridge whose disk was broken, or two bridges with one id: look at delivery.epoch and durable"
            if ledger.same_again.bad or ledger.numbering.bad
            else "",
            examples=(*ledger.same_again.examples, *ledger.numbering.examples)[:MAX_EXAMPLES],
        )
    if ledger.positions.received:
        dropped = ledger.positions.missing
        yield Finding(
            check="positions",
            verdict=Verdict.PASS,
            told=f"{ledger.positions.received} came, {dropped} numbers are missing"
            + (": dropped while the broker was away or nobody listened" if dropped else ""),
        )


def _missing(check: StreamCheck) -> Iterator[str]:
    for source, numbers in list(check.missing_by_source().items())[:MAX_EXAMPLES]:
        more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
        yield f"{source}: {', '.join(map(str, numbers[:5]))}{more}"


def _retained(ledger: Ledger) -> Iterator[Finding]:
    missing = ledger.not_retained
    if not missing and not ledger.retained_count:
        yield Finding(check="retained", verdict=Verdict.UNSET, told="no state came (active, status)")
        return
    yield Finding(
        check="retained",
        verdict=Verdict.FAIL if missing else Verdict.PASS,
        told=f"{ledger.retained_count} of {ledger.retained_count + len(missing)} states are kept by the broker for "
        "readers who come later",
        next_step="allow retained messages on the broker (mosquitto: retain_available true; NATS: JetStream for the "
        "account), then restart the bridge or send it the command resend_active"
        if missing
        else "",
        examples=tuple(missing[:MAX_EXAMPLES]),
    )


def _heartbeats(ledger: Ledger, heartbeat_s: float, now_mono_ns: int) -> Iterator[Finding]:
    if not ledger.bridges:
        yield Finding(
            check="heartbeat",
            verdict=Verdict.UNSET,
            told="no bridge told of itself",
            next_step="subscribe to bridge/+/status and bridge/+/heartbeat; their silence must be an alarm",
        )
    for name, seen in sorted(ledger.bridges.items()):
        yield _heartbeat(name, seen, heartbeat_s, now_mono_ns)


def _heartbeat(name: str, seen: BridgeSeen, heartbeat_s: float, now_mono_ns: int) -> Finding:
    stamps = [stamp for stamp, _ in seen.beats]
    limit_s = SILENCE_FACTOR * heartbeat_s
    longest_s = max(((b - a) / 1e9 for a, b in pairwise([*stamps, now_mono_ns])), default=0.0)
    if seen.state == "offline" and stamps:
        told, verdict = "went offline while we listened", Verdict.FAIL
    elif seen.state == "offline":
        told, verdict = "its status says offline, as a bridge that was stopped does", Verdict.PASS
    elif not stamps:
        told, verdict = "its status says online, and no heartbeat came", Verdict.FAIL
    elif longest_s > limit_s:
        told, verdict = f"was silent for {longest_s:.0f} s; expected one in {heartbeat_s:g} s", Verdict.FAIL
    elif seen.state is None:
        told, verdict = f"{len(stamps)} heartbeats, but no status (birth, will)", Verdict.FAIL
    else:
        told, verdict = f"{seen.state}, {len(stamps)} heartbeats, longest silence {longest_s:.1f} s", Verdict.PASS
    return Finding(
        check="heartbeat",
        verdict=verdict,
        told=f"{name}: {told}",
        next_step="look after the bridge, its will on the broker, and --heartbeat-s" if verdict is Verdict.FAIL else "",
    )


def _latency(latencies_s: Sequence[float], max_latency_s: float) -> Finding:
    ordered = sorted(latencies_s)
    if not ordered:
        return Finding(check="latency", verdict=Verdict.UNSET, told="no fresh alert came")
    if ordered[0] < 0:
        return Finding(
            check="latency",
            verdict=Verdict.ERROR,
            told=f"an alert came {-ordered[0]:.3f} s before it was detected: the two clocks disagree by at least that",
            next_step="set both machines' clocks by NTP; without it no latency can be told",
        )
    middle, high = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    is_late = high > max_latency_s
    return Finding(
        check="latency",
        verdict=Verdict.FAIL if is_late else Verdict.PASS,
        told=f"detected to here: p50 {middle * 1e3:.1f} ms, p99 {high * 1e3:.1f} ms, max {ordered[-1] * 1e3:.1f} ms of "
        f"{len(ordered)} events; as right as the two clocks",
        next_step=f"more than {max_latency_s:g} s: if both clocks are right, look at the load of broker and network"
        if is_late
        else "",
    )


def _outbox(ledger: Ledger) -> Iterator[Finding]:
    """Tell what the bridges' own heartbeats complain of."""
    for name, seen in sorted(ledger.bridges.items()):
        if not seen.beats:
            continue
        last = seen.beats[-1][1]
        box = last.outbox
        complaints = [
            text
            for is_so, text in (
                (box.rejected, f"the broker refused {box.rejected} messages: allow the bridge's topics"),
                (box.unheard_alerts, f"{box.unheard_alerts} alerts wait because nobody is subscribed to them"),
                (
                    last.canary in {"late", "never"},
                    "its own canary does not come back: the access list, or the routing",
                ),
                (
                    last.disk in {"full", "failing"},
                    f"its disk is {last.disk}: "
                    + ("it did not give back all as written" if last.durable else "alerts go out from memory"),
                ),
                (last.provider == "offline", "every consumer that announced itself is gone"),
                (not last.durable, "its outbox is in memory: what waits is lost with the process"),
            )
            if is_so
        ]
        yield Finding(
            check="bridge",
            verdict=Verdict.FAIL if complaints else Verdict.PASS,
            told=f"{name}: {box.alerts} alerts wait, {box.unreceipted} unconfirmed, {box.reconnects} reconnects, "
            f"{last.devices_heard} of {last.devices} devices heard",
            next_step="mend what the bridge complains of" if complaints else "",
            examples=tuple(complaints),
        )
