"""``tagrig audit``: is the record of disclosures whole, and what do the records say of a tag and a period."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from bridge.config.load import LoadedConfig, load_config
from bridge.errors import ConfigError
from devices.clock import SystemClock
from rig.audit.errors import AuditError
from rig.audit.findings import find_findings
from rig.audit.pack import MANIFEST, PackRequest, verify_pack, write_pack
from rig.audit.period import Period, parse_period
from rig.audit.records import Records, read_records
from rig.audit.track_map import Shape
from rig.audit.verify import Chain, verify_folder
from rig.audit.zone_shapes import read_shapes, shapes_of
from rig.cli.bridge_options import refuse
from rig.cli.exit_codes import ExitCode


@click.group()
def command() -> None:
    """Verify the disclosure log, and make the pack that a court is given for a tag and a period."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--head", metavar="HASH", help="Hash of a line that was noted elsewhere; it must still stand in the log.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def verify(folder: Path, head: str | None, as_json: bool) -> None:
    """Verify the disclosure logs in FOLDER and name the first broken line, or the files of a pack by its manifest.

    Every line has the hash of the one before it, over files and restarts. Note the head that is printed in another
    place: with --head it shows later whether the newest lines were taken away or all of it was made anew.

    Exit codes: 0 whole, 1 broken, 2 there is no log.
    """
    try:
        if (folder / MANIFEST).exists():
            _verify_pack(folder, as_json=as_json)
        chains = verify_folder(folder, noted_head=head)
    except AuditError as exc:
        click.echo(f"tagrig audit: {exc}", err=True)
        sys.exit(ExitCode.USAGE)
    missing_head = head is not None and not any(chain.has_noted_head for chain in chains)
    whole = all(chain.is_whole for chain in chains) and not missing_head
    if as_json:
        found = [_as_json(chain) for chain in chains]
        click.echo(json.dumps({"whole": whole, "noted_head_found": not missing_head, "chains": found}))
    else:
        for chain in chains:
            _tell(chain)
        if missing_head:
            click.echo(f"the noted head {head} is not in it: its newest lines were taken away, or it was made anew")
    sys.exit(ExitCode.OK if whole else ExitCode.VERDICT_FAIL)


def _tell(chain: Chain) -> None:
    verdict = "whole" if chain.is_whole else "BROKEN"
    click.echo(
        f"{chain.bridge}: {verdict}. {chain.files} files, {chain.lines} lines ({chain.first} to {chain.last}), "
        f"{chain.disclosures} disclosures, {chain.starts} starts"
    )
    for note in chain.notes:
        click.echo(f"  note: {note}")
    if chain.broken is not None:
        click.echo(f"  first broken line: {chain.broken}")
    click.echo(f"  head: {chain.head}")


def _as_json(chain: Chain) -> dict[str, object]:
    broken = chain.broken
    return {
        "bridge": chain.bridge,
        "whole": chain.is_whole,
        "files": chain.files,
        "lines": chain.lines,
        "first": chain.first,
        "last": chain.last,
        "disclosures": chain.disclosures,
        "starts": chain.starts,
        "torn": chain.torn,
        "given_up": chain.given_up,
        "head": chain.head,
        "notes": chain.notes,
        "broken": None if broken is None else {"path": str(broken.path), "line": broken.line, "what": broken.what},
    }


def _verify_pack(folder: Path, *, as_json: bool) -> None:
    manifest, wrong = verify_pack(folder)
    if as_json:
        click.echo(json.dumps({"whole": not wrong, "exhibit": manifest.exhibit, "wrong": wrong}))
    else:
        click.echo(f"exhibit {manifest.exhibit}: {len(manifest.files)} files, {'as made' if not wrong else 'CHANGED'}")
        for each in wrong:
            click.echo(f"  {each}")
    sys.exit(ExitCode.VERDICT_FAIL if wrong else ExitCode.OK)


_FOLDER = click.Path(path_type=Path)


@command.command()
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option("--tag", required=True, help="Id of the device.")
@click.option("--from", "start", required=True, metavar="TIME", help="Start of the period: 2026-11-22T20:30:00Z.")
@click.option("--to", "end", required=True, metavar="TIME", help="Its end, which is not part of it.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for the pack; empty or not there.")
@click.option("--exhibit", help="Name of the exhibit; made of tag and start if not given.")
@click.option("--outbox", "outboxes", type=_FOLDER, multiple=True, help="Folder of an outbox; its bridge may run.")
@click.option("--disclosures", type=_FOLDER, multiple=True, help="Folder of a disclosure log.")
@click.option("--captures", type=_FOLDER, multiple=True, help="Folder of raw captures.")
@click.option("--no-originals", is_flag=True, help="Do not copy raw captures into the pack; their hashes stand in it.")
@click.option("--whole-period", is_flag=True, help="Also points outside the time of every loaded order.")
@click.option("--protected-person", is_flag=True, help="It is a protected person's device, and the court asked for it.")
def export(
    config: Path | None,
    tag: str,
    start: str,
    end: str,
    out: Path,
    exhibit: str | None,
    outboxes: tuple[Path, ...],
    disclosures: tuple[Path, ...],
    captures: tuple[Path, ...],
    no_originals: bool,
    whole_period: bool,
    protected_person: bool,
) -> None:
    """Make the pack for a court: what the records say of a tag in a period.

    It holds a statement with questions and answers, the points with time, satellites, battery and tamper state, the
    alerts with event, received and acted time, the disclosures, a map, the messages themselves, raw captures, an empty
    chain of custody form, and a manifest with hashes. Folders are taken from CONFIG, if it is given, and from the
    options. Nothing is changed, and a bridge that runs is not held up.

    Exit codes: 0 made, 1 made, but a disclosure log is broken, 2 what is asked cannot be answered.
    """
    try:
        period = parse_period(start, end)
        loaded = load_config(config) if config is not None else None
        records = read_records(
            tag,
            outboxes=[*outboxes, *_configured(loaded, "outbox")],
            disclosures=[*disclosures, *_configured(loaded, "disclosure")],
            captures=[*captures, *_configured(loaded, "capture")],
        )
        _refuse_what_must_not_be(records, protected_person)
        device = next((each for each in loaded.config.device if each.id == tag), None) if loaded is not None else None
        findings = find_findings(
            records,
            period,
            expected_s=device.interval_s if device is not None else None,
            buffer_s=device.silence_buffer_s if device is not None else None,
            within_orders=not whole_period,
        )
        request = PackRequest(
            folder=out,
            exhibit=exhibit or f"{tag}-{start[:10]}",
            made_at_utc_ns=SystemClock().utc_ns(),
            shapes=_shapes(loaded, tag) + _loaded_shapes(records, period),
            originals=not no_originals,
        )
        manifest = write_pack(findings, records, request)
    except AuditError as exc:
        click.echo(f"tagrig audit: {exc}", err=True)
        sys.exit(ExitCode.USAGE)
    except ConfigError as exc:
        sys.exit(refuse(exc))
    click.echo(
        f"{out}: {len(findings.points)} points, {len(findings.episodes)} alerts, {len(manifest.files)} files. "
        f"Next: note the hash of {MANIFEST} on the custody form"
    )
    for note in records.notes:
        click.echo(f"note: {note}", err=True)
    whole = all(chain.is_whole for chain in records.chains) and not findings.hashes_differ
    sys.exit(ExitCode.OK if whole else ExitCode.VERDICT_FAIL)


def _configured(loaded: LoadedConfig | None, section: str) -> list[Path]:
    """Folders that a configuration names and that are there."""
    if loaded is None:
        return []
    folder = getattr(loaded.config, section).folder
    path = loaded.path_of(folder) if folder is not None else None
    return [path] if path is not None and path.is_dir() else []


def _refuse_what_must_not_be(records: Records, protected_person: bool) -> None:
    if not (records.alerts or records.positions or records.captured or records.disclosures):
        raise AuditError(f"nothing is recorded of device {records.device!r}. Next: look at its id and at the folders")
    if records.is_protected and not protected_person:
        raise AuditError(
            f"{records.device!r} is a protected person's device: where she was is in no pack about a wearer. "
            "Next: --protected-person, if the court asked for her own record"
        )


def _shapes(loaded: LoadedConfig | None, tag: str) -> tuple[Shape, ...]:
    """Zones of a wearer, as they are configured now."""
    if loaded is None or loaded.config.zones.file is None:
        return ()
    own = [order for order in loaded.config.order if order.wearer == tag]
    if loaded.config.order and not own:
        return ()
    named = [zone for order in own if order.zones is not None for zone in order.zones]
    has_all = not own or any(order.zones is None for order in own)
    return read_shapes(loaded.path_of(loaded.config.zones.file), None if has_all else frozenset(named))


def _loaded_shapes(records: Records, period: Period) -> tuple[Shape, ...]:
    """Zones of a wearer's orders that the provider loaded, as the outbox keeps them now, if in force in the period."""
    start, end = (datetime.fromtimestamp(ns / 1e9, UTC) for ns in (period.start_utc_ns, period.end_utc_ns))
    return tuple(
        shape
        for order in records.orders
        if order.zones is not None
        and (order.valid_from is None or order.valid_from < end)
        and (order.valid_until is None or order.valid_until > start)
        for shape in shapes_of(order.zones)
    )
