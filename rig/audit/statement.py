"""The statement: what a witness is asked of a device and a period, answered from the records, with their limits."""

from collections.abc import Iterable
from html import escape

from protocols.mqtt.messages import AlertKind
from protocols.mqtt.times import utc_text
from rig.audit.findings import Episode, Findings
from rig.audit.records import Records

_STYLE = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;line-height:1.4}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{border:1px solid #999;padding:.3em .5em;text-align:left;vertical-align:top}th{background:#eee}"
    "@media print{h2{break-after:avoid}tr{break-inside:avoid}}"
)

QUESTIONS: tuple[tuple[str, tuple[AlertKind, ...]], ...] = (
    ("Was the strap opened or cut?", (AlertKind.STRAP_TAMPER,)),
    ("Was the body (case) of the device opened?", (AlertKind.CASE_TAMPER,)),
    ("Was an inclusion zone left?", (AlertKind.INCLUSION_ZONE_LEFT,)),
    ("Was an exclusion zone entered?", (AlertKind.EXCLUSION_ZONE_ENTERED,)),
    ("Did the wearer come near a protected person?", (AlertKind.PROXIMITY_BREACH, AlertKind.BEACON_HEARD)),
    ("Was shielding or jamming suspected?", (AlertKind.SHIELDING_SUSPECTED, AlertKind.JAMMING_SUSPECTED)),
    ("Was the device not heard, or without a position?", (AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST)),
    ("Was its battery low?", (AlertKind.BATTERY_LOW, AlertKind.BATTERY_CRITICAL)),
)
"""Yes or no. A curfew by the clock is not judged by this system, and the statement says so."""


def write_statement(findings: Findings, records: Records, *, exhibit: str) -> str:
    """Write the statement as a page that can be printed."""
    cadence = findings.cadence
    rows = [_answer(question, findings.of_kinds(*kinds)) for question, kinds in QUESTIONS]
    rows.append(("Was a curfew kept?", "not monitored", "This system judges places and distances, not hours."))
    sections = [
        f"<h1>Statement: device {escape(findings.device)}</h1>",
        _table(
            (), [("Exhibit", exhibit), ("Period (UTC)", str(findings.period)), ("Points", str(len(findings.points)))]
        ),
        "<h2>Questions</h2>",
        _table(("Question", "Answer", "Detail"), rows),
        f"<p>{escape(_MEANING)}</p>",
        "<h2>Cadence</h2>",
        _table(
            (),
            [
                ("Expected interval", _seconds(cadence.expected_s)),
                ("Median interval between points", _seconds(cadence.median_s)),
                ("95 of 100 intervals are at most", _seconds(cadence.p95_s)),
                ("Longest interval", _seconds(cadence.longest_s)),
                ("A gap is longer than", _seconds(cadence.limit_s)),
                ("Gaps, together", f"{len(cadence.gaps)}, {cadence.gaps_s:.0f} s"),
            ],
        ),
        "<h2>Gaps</h2>",
        _table(
            ("From (UTC)", "To (UTC)", "Seconds"),
            [(utc_text(g.start_utc_ns), utc_text(g.end_utc_ns), f"{g.length_s:.0f}") for g in cadence.gaps] or (_NONE,),
        ),
        "<h2>Alerts</h2>",
        _table(
            ("From (UTC)", "To (UTC)", "Kind", "About", "Told by the device", "Clock", "Alert"),
            [_episode(episode) for episode in findings.episodes] or (_NONE,),
        ),
        "<h2>What this rests on</h2>",
        _list(_grounds(findings, records)),
    ]
    title = escape(f"Statement: device {findings.device}, {findings.period}")
    body = "\n".join(sections)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body>\n{body}\n</body></html>\n"
    )


_NONE = ("none",)

_MEANING = (
    "“None recorded” means that no alert of the kind was raised by this system in the period. It says nothing about "
    "the gaps below, in which the device told no position, and nothing about a kind of zone that was not ordered."
)


def _answer(question: str, episodes: tuple[Episode, ...]) -> tuple[str, str, str]:
    if not episodes:
        return question, "none recorded", ""
    times = "once" if len(episodes) == 1 else f"{len(episodes)} times"
    first = ", ".join(utc_text(episode.start_utc_ns) for episode in episodes[:5])
    more = f" and {len(episodes) - 5} more" if len(episodes) > 5 else ""
    return question, f"yes, {times}", f"{first}{more}"


def _episode(episode: Episode) -> tuple[str, ...]:
    told = "later, from its memory" if episode.late or any(_is_stored(each) for each in episode.events) else "as it was"
    end = "stands, or its end is not in the records" if episode.end_utc_ns is None else utc_text(episode.end_utc_ns)
    start = utc_text(episode.start_utc_ns)
    return start, end, episode.kind.replace("_", " "), episode.about, told, episode.clock, episode.alert_id


def _is_stored(stored: object) -> bool:
    data = getattr(getattr(stored, "event", None), "data", None)
    return bool(getattr(data, "stored", False))


def _grounds(findings: Findings, records: Records) -> list[str]:
    points = findings.points
    by_capture = sum(point.in_capture for point in points)
    found = [
        f"{sum(p.event_id is not None for p in points)} of {len(points)} points were sent to the provider, "
        f"{by_capture} stand in raw captures of the device's own line.",
        f"{sum(p.has_own_time for p in points)} points have the receiver's own time; the others the time they came in.",
        f"{sum(p.stored for p in points)} points were kept in the device's memory and told later.",
        f"{findings.hashes_agree} logged disclosures have the hash of the message that is kept here; "
        f"{findings.hashes_differ} have another.",
    ]
    for chain in records.chains:
        state = "whole" if chain.is_whole else "BROKEN"
        found.append(f"Disclosure log of {chain.bridge}: {state}, {chain.lines} lines, head {chain.head}.")
    if findings.outside_orders:
        found.append(f"{findings.outside_orders} points lie outside the time of every order and are not released.")
    found += records.notes
    return found


def _seconds(value_s: float | None) -> str:
    return "not known" if value_s is None else f"{value_s:g} s"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    top = "<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>" if head else ""
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>" + top + "".join(lines) + "</table>"


def _list(items: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def write_custody_form(findings: Findings, *, exhibit: str) -> str:
    """Write the empty form: who had the exhibit, from whom, when, why."""
    blank = "<tr>" + "<td>&nbsp;<br>&nbsp;</td>" * 6 + "</tr>"
    head = "".join(
        f"<th>{cell}</th>"
        for cell in ("Date, time", "Received from", "Received by", "Reason", "State of seal", "Signature")
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Chain of custody</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>Chain of custody</h1>\n"
        + _table((), [("Exhibit", exhibit), ("Device", findings.device), ("Period (UTC)", str(findings.period))])
        + f"<p>SHA-256 of manifest.json, as read when the exhibit was made: {'_' * 64}</p>\n"
        + f"<table><tr>{head}</tr>{blank * 10}</table>\n</body></html>\n"
    )
