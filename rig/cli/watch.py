"""``tagrig watch``: the provider's view of the alerts."""

import json
import os
import queue
import signal
import sys
from pathlib import Path

import click
import msgspec

from devices.clock import SystemClock
from protocols.mqtt.messages import (
    ActiveEvent,
    AlertEvent,
    BridgeStatusEvent,
    IncidentEvent,
    MsgType,
    ProtectedAlertEvent,
    WarningEvent,
    WarningStep,
    decode,
)
from protocols.mqtt.topics import Side, Stream, default_root, find_topic, is_topic_root
from rig.cli.exit_codes import ExitCode
from rig.errors import RigError
from rig.provider.hops import HopStats, HopTimes, find_hops
from rig.provider.streams import Arrival, StreamCheck
from rig.provider.subscriber import Heard, LinkWord, Subscriber

PASSWORD_VARIABLE = "TAGRIG_BROKER_PASSWORD"
_STEP_COLOURS = {
    WarningStep.ACKNOWLEDGED: "green",
    WarningStep.STOOD_DOWN: "green",
    WarningStep.LOST: "red",
    WarningStep.NOT_ACKNOWLEDGED: "yellow",
}
_COLOURS = {"Extreme": "red", "Severe": "yellow", "Moderate": "cyan", "Minor": "white"}
_LOOK_S = 0.2
"""How often a signal or the time limit is looked at; messages themselves wake the printer at once."""


@click.command()
@click.option("--broker", default="mqtt://127.0.0.1:1883", show_default=True, metavar="URL", help="Where to subscribe.")
@click.option("--agency", default="demo", show_default=True, help="Whose topics: em/v1/AGENCY.")
@click.option("--root", help="Topic root, where it is not the default of the agency.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per alert, and one at the end.")
@click.option("--receipt-stats", is_flag=True, help="At the end: counts, gaps, and latency by hop.")
@click.option("--client-id", help="Fixed id: the broker keeps what comes while this program is away.")
@click.option("--username", help=f"User at the broker; the password comes from {PASSWORD_VARIABLE}.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="Authority to trust for mqtts://.")
@click.option("--cert-file", type=click.Path(path_type=Path), help="Our certificate.")
@click.option("--key-file", type=click.Path(path_type=Path), help="Its key.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many alerts.")
@click.option("--for-s", "for_s", type=click.FloatRange(min=0), help="End after so many seconds.")
def command(
    broker: str,
    agency: str,
    root: str | None,
    as_json: bool,
    receipt_stats: bool,
    client_id: str | None,
    username: str | None,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
    count: int | None,
    for_s: float | None,
) -> None:
    """Subscribe to a bridge's alerts as a provider does and print them, with the latency of each hop.

    Incidents and the steps of warnings to protected persons are printed too, a step with the time since the fix. It
    knows nothing of the bridge but its topics and payloads. It begins with what is raised already; sequence gaps and
    duplicates are told as they appear.

    Exit codes: 0 ended as asked and no alert was missing, 1 alerts are missing from a sequence, 2 usage, 3 it could
    never subscribe.
    """
    clock = SystemClock()
    top = root or default_root(agency)
    if not is_topic_root(top):
        raise click.UsageError(f"{top!r} is not a topic root; expected levels of letters, digits, '-', '_'")
    per_device = ("tag/+/active", "protected/+/active", "tag/+/alert", "protected/+/alert", "protected/+/warning")
    filters = tuple(f"{top}/{stream}" for stream in (*per_device, "control/+/incident", "bridge/+/status"))
    try:
        subscriber = Subscriber(
            broker,
            filters,
            clock=clock,
            client_id=client_id,
            username=username,
            password=os.environ.get(PASSWORD_VARIABLE),
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
        )
    except (RigError, OSError) as exc:
        click.echo(f"tagrig: {exc}", err=True)
        sys.exit(ExitCode.USAGE)
    view = _View(as_json)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    end_mono_ns = clock.mono_ns() + int(for_s * 1e9) if for_s is not None else None
    subscriber.start()
    try:
        while not stopping and (count is None or view.alerts < count):
            if end_mono_ns is not None and clock.mono_ns() >= end_mono_ns:
                break
            try:
                heard = subscriber.queue.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            view.take(heard)
    finally:
        subscriber.stop()
    view.sum_up(with_stats=receipt_stats)
    if not view.is_listening:
        click.echo(f"tagrig: never subscribed at {broker}: nothing was heard because nobody listened", err=True)
        sys.exit(ExitCode.BENCH_BROKEN)
    if view.check.missing:
        sys.exit(ExitCode.VERDICT_FAIL)


class _View:
    """Prints what comes."""

    def __init__(self, as_json: bool) -> None:
        self.check = StreamCheck()
        self.alerts = 0
        self.warnings = 0
        self.is_listening = False
        self._hops = HopStats()
        self._as_json = as_json
        self._unreadable = 0
        boot = Path("/proc/sys/kernel/random/boot_id")
        self._boot_id = boot.read_text().strip() if boot.exists() else ""

    def take(self, heard: Heard | LinkWord) -> None:
        if isinstance(heard, LinkWord):
            self.is_listening |= not heard.is_error
            click.echo(heard.text, err=True)
            return
        topic = find_topic(heard.topic)
        if topic is None:
            return
        try:
            if topic.stream is Stream.ACTIVE:
                if heard.retain:
                    self._active(decode(heard.body, ActiveEvent))
            elif topic.stream is Stream.STATUS and topic.side is Side.BRIDGE:
                self._bridge(decode(heard.body, BridgeStatusEvent))
            elif topic.stream is Stream.INCIDENT:
                self._incident(decode(heard.body, IncidentEvent), heard)
            elif topic.stream is Stream.WARNING:
                self._warning(decode(heard.body, WarningEvent), heard)
            elif topic.stream is Stream.ALERT and topic.side is Side.PROTECTED:
                self._alert(decode(heard.body, ProtectedAlertEvent), heard)
            elif topic.stream is Stream.ALERT:
                self._alert(decode(heard.body, AlertEvent), heard)
        except msgspec.MsgspecError as exc:
            self._unreadable += 1
            click.echo(f"{heard.topic}: not as the contract says: {exc}", err=True)

    def _bridge(self, event: BridgeStatusEvent) -> None:
        name = event.subject.partition("/")[2]
        if self._as_json:
            click.echo(json.dumps({"type": "bridge", "bridge": name, "state": event.data.state}))
        else:
            colour = "green" if event.data.state == "online" else "red"
            click.echo(f"{event.time[11:23]}  {name}  {click.style(event.data.state, fg=colour)} ({event.data.reason})")

    def _active(self, event: ActiveEvent) -> None:
        """Tell what was raised before we came; from then on the alerts themselves say it."""
        name = event.subject.partition("/")[2]
        for alert in event.data.alerts:
            if self._as_json:
                told = {"type": "active", "subject": name, "alert": msgspec.to_builtins(alert)}
                click.echo(json.dumps(told))
                continue
            words = [alert.kind, alert.zone_id, alert.ref, alert.band]
            step = click.style("active", fg=_COLOURS[alert.severity], bold=True)
            click.echo(
                f"{alert.raised_at[11:23]}  {name:12} {step} {' '.join(word for word in words if word)}"
                f"  [{alert.severity}] raised before this program came"
            )

    def _warning(self, event: WarningEvent, heard: Heard) -> None:
        self.warnings += 1
        arrival = self.check.take(event.source, event.data.delivery.epoch, int(event.sequence))
        if self._as_json:
            line = {
                "type": "warning",
                "topic": heard.topic,
                "arrival": arrival.value,
                "t_received_mono_ns": heard.t_mono_ns,
                "event": msgspec.Raw(heard.body),
            }
            click.echo(msgspec.json.encode(line))
        else:
            click.echo(_warning_line(event, arrival))

    def _incident(self, event: IncidentEvent, heard: Heard) -> None:
        arrival = self.check.take(event.source, event.data.delivery.epoch, int(event.sequence))
        if self._as_json:
            line = {
                "type": "incident",
                "topic": heard.topic,
                "arrival": arrival.value,
                "t_received_mono_ns": heard.t_mono_ns,
                "event": msgspec.Raw(heard.body),
            }
            click.echo(msgspec.json.encode(line))
        else:
            click.echo(_incident_line(event, arrival))

    def _alert(self, event: AlertEvent | ProtectedAlertEvent, heard: Heard) -> None:
        self.alerts += 1
        arrival = self.check.take(event.source, event.data.delivery.epoch, int(event.sequence))
        hops = find_hops(event.data.trace, heard.t_mono_ns, self._boot_id)
        if hops is not None and arrival is not Arrival.DUPLICATE:
            self._hops.add(hops)
        if self._as_json:
            line = {
                "type": "alert",
                "topic": heard.topic,
                "arrival": arrival.value,
                "t_received_mono_ns": heard.t_mono_ns,
                "hops_ms": [round(ms, 3) for ms in hops.values_ms] if hops is not None else None,
                "event": msgspec.Raw(heard.body),
            }
            click.echo(msgspec.json.encode(line))
        else:
            click.echo(_line(event, arrival, hops))

    def sum_up(self, *, with_stats: bool) -> None:
        check = self.check
        if self._as_json:
            hops = {name: {"n": n, "p50": p50, "p99": p99, "max": top} for name, n, p50, p99, top in self._hops.rows()}
            summary = {
                "type": "summary",
                "alerts": self.alerts,
                "warnings": self.warnings,
                "missing": check.missing,
                "duplicates": check.duplicates,
                "out_of_order": check.out_of_order,
                "unreadable": self._unreadable,
                "hops_ms": hops,
            }
            click.echo(json.dumps(summary))
            return
        for source, numbers in check.missing_by_source().items():
            click.echo(f"missing from {source}: {', '.join(map(str, numbers[:20]))}", err=True)
        if with_stats:
            click.echo(
                f"{self.alerts} alerts, {check.missing} missing, {check.duplicates} duplicates, "
                f"{check.out_of_order} out of order, {self._unreadable} unreadable"
            )
            if self.warnings:
                click.echo(f"{self.warnings} steps of warnings to protected persons")
            for name, n, p50, p99, top in self._hops.rows():
                click.echo(f"  {name:20} n={n:<6} p50 {p50:8.3f} ms   p99 {p99:8.3f} ms   max {top:8.3f} ms")


def _warning_line(event: WarningEvent, arrival: Arrival) -> str:
    """One line for a person: whose tag, which step, of what, how long after the fix."""
    data, latency = event.data, event.data.latency
    step = click.style(f"{data.step:16}", fg=_STEP_COLOURS.get(data.step, "cyan"), bold=True)
    words = [data.level, data.text if data.text != "none" else None, data.cause, data.wearer]
    parts = " ".join(word for word in words if word)
    after = {
        WarningStep.ASKED: latency.fix_to_asked_ms,
        WarningStep.WRITTEN: latency.fix_to_written_ms,
        WarningStep.STARTED: latency.fix_to_started_ms,
        WarningStep.STOOD_DOWN: latency.fix_to_started_ms,
    }.get(data.step)
    marks = []
    if after is not None:
        marks.append(f"{after:.2f} ms after the fix")
    if data.step is WarningStep.ACKNOWLEDGED and latency.started_to_acknowledged_ms is not None:
        marks.append(f"{latency.started_to_acknowledged_ms / 1000:.1f} s after it began")
    if data.age_s is not None:
        marks.append(f"{data.age_s:g} s ago")
    if data.repeat:
        marks.append(f"repeat {data.repeat}")
    if data.reason:
        marks.append(data.reason)
    if arrival is not Arrival.IN_ORDER:
        marks.append(arrival.value.upper())
    text = f"{event.time[11:23]}  {event.subject.partition('/')[2]:12} {step} {data.smart_tag}"
    if data.warn_id is not None:
        text += f" #{data.warn_id}"
    return f"{text} {parts}" + (f" ({', '.join(marks)})" if marks else "")


def _incident_line(event: IncidentEvent, arrival: Arrival) -> str:
    """One line for a person: which incident, what of it."""
    data = event.data
    about = data.zone.name or data.zone.id if data.zone is not None else ""
    if data.protected_party is not None:
        about = f"{data.protected_party.ref} {data.protected_party.band}"
    marks = [f"{data.occurrences} times"] if data.occurrences > 1 else []
    if arrival is not Arrival.IN_ORDER:
        marks.append(arrival.value.upper())
    colour = "green" if data.state == "closed" else _COLOURS[data.severity]
    state = click.style(f"incident {data.state}", fg=colour, bold=True)
    text = f"{event.time[11:23]}  {data.tag:12} {state} {data.cause} {about}".rstrip()
    return text + (f" ({', '.join(marks)})" if marks else "")


def _line(event: AlertEvent | ProtectedAlertEvent, arrival: Arrival, hops: HopTimes | None) -> str:
    """One line for a person: what, where, how grave, how fast."""
    data = event.data
    parts: list[str] = [data.kind]
    if isinstance(event, AlertEvent):
        if event.data.zone is not None:
            parts.append(event.data.zone.name or event.data.zone.id)
        if event.data.protected_party is not None:
            parts.append(f"{event.data.protected_party.ref} {event.data.protected_party.band}")
    elif event.data.proximity is not None:
        near = event.data.proximity
        where = f", {near.distance_m:.0f} m" if near.distance_m is not None else ""
        parts.append(f"{near.wearer} {near.band}{where}")
    if data.level:
        parts.append(data.level)
    marks = [mark for mark, on in (("late", data.late), ("stored", data.stored)) if on]
    if arrival is not Arrival.IN_ORDER:
        marks.append(arrival.value.upper())
    step = {MsgType.ALERT: "ALERT ", MsgType.UPDATE: "UPDATE", MsgType.CANCEL: "clear "}[data.msg_type]
    colour = "green" if data.msg_type is MsgType.CANCEL else _COLOURS[data.severity]
    text = (
        f"{data.detected_at[11:23]}  {event.subject.partition('/')[2]:12} {click.style(step, fg=colour, bold=True)} "
        f"{' '.join(parts)}  [{data.severity}] #{int(event.sequence)}"
    )
    if marks:
        text += f" ({', '.join(marks)})"
    if hops is not None:
        text += "  " + " + ".join(f"{ms:.2f}" for ms in hops.values_ms[:-1]) + f" = {hops.values_ms[-1]:.2f} ms"
    return text
