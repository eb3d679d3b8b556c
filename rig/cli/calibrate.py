"""``tagrig calibrate rssi``: how strongly a receiver hears a tag, from samples at known distances."""

import asyncio
import csv
import math
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click
import msgspec

from devices.clock import SystemClock
from devices.errors import CalibrationError, RadioError, TransportSpecError
from devices.rssi import Calibration, fit
from devices.rssi_file import CalibrationFile, to_file, write_calibration
from rig.cli.exit_codes import ExitCode
from rig.emulator.clock import format_utc

SHOWN_M = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Distances at which the band is shown, metres: from arm's length to where a beacon is hardly heard indoors."""
FEW_SAMPLES = 20
"""Fewer advertisements at one place than this do not show its three channels well."""
USUAL_EXPONENT = (1.2, 4.5)
"""Outside of it something else was measured: a wall between some places, or a wrong distance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Advertisements at known distances; ``places`` is None where each distance is one place."""

    distances_m: list[float]
    rssi_dbm: list[float]
    places: list[str] | None


class FitWord(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of ``--json``."""

    calibration: CalibrationFile
    band: list[tuple[float, float, float | None, float | None]]
    warnings: list[str]


@click.group()
def command() -> None:
    """Calibrate a receiver."""


@command.command()
@click.argument(
    "samples_file", required=False, metavar="[SAMPLES.csv]", type=click.Path(path_type=Path, allow_dash=True)
)
@click.option("--tag", required=True, help="Id of the tag, as in the configuration.")
@click.option("--receiver", required=True, help="Name of the receiver: hci0, or the tag that listens.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Calibration file to write.")
@click.option(
    "--exponent", type=click.FloatRange(0.5, 8), help="Fix the path loss exponent: one distance is then enough."
)
@click.option("--target", metavar="SPEC", help="Guided: hear this tag (ble:...) and be told where to put it.")
@click.option(
    "--distances", default="0.5,1,2,4,8", show_default=True, help="Guided: metres, in the order they are taken."
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=20.0, show_default=True, help="Guided: listen at each place."
)
@click.option(
    "--save-samples", type=click.Path(path_type=Path, dir_okay=False), help="Guided: keep the samples as CSV."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def rssi(
    samples_file: Path | None,
    tag: str,
    receiver: str,
    out: Path | None,
    exponent: float | None,
    target: str | None,
    distances: str,
    seconds: float,
    save_samples: Path | None,
    as_json: bool,
) -> None:
    """Fit signal strength against distance, for presence by likelihood.

    From a file: CSV with the columns distance_m and rssi_dbm, and optionally place (advertisements that share one place
    and posture); - reads standard input. Guided, with --target: put the tag where you are told, at several distances,
    turned and carried as it will be.

    Exit codes: 0 fitted, 2 usage or samples that no calibration can come from, 3 the tag cannot be heard.
    """
    if (samples_file is None) == (target is None):
        raise click.UsageError("expected either a file of samples or --target")
    try:
        if target is None:
            assert samples_file is not None
            samples = read_samples(samples_file)
        else:
            samples = asyncio.run(_guided(target, parse_distances(distances), seconds))
            if save_samples is not None:
                write_samples(save_samples, samples)
        found = fit(samples.distances_m, samples.rssi_dbm, places=samples.places, exponent=exponent)
        made_utc = format_utc(SystemClock().utc_ns())
        content = to_file(found, tag=tag, receiver=receiver, made_utc=made_utc)
        if out is not None:
            write_calibration(out, content)
    except (CalibrationError, TransportSpecError) as exc:
        _end(str(exc), ExitCode.USAGE)
    except RadioError as exc:
        _end(str(exc), ExitCode.BENCH_BROKEN)
    else:
        warnings = warnings_of(found, samples)
        if as_json:
            word = FitWord(calibration=content, band=_rows(found), warnings=warnings)
            click.echo(msgspec.json.encode(word).decode())
        else:
            click.echo(_text(content, found, warnings, out))


def _end(text: str, code: ExitCode) -> None:
    click.echo(f"tagrig calibrate: {text}", err=True)
    sys.exit(code)


def read_samples(path: Path) -> Samples:
    """Read samples from a CSV file, or standard input for ``-``.

    Raises
    ------
    CalibrationError
        Names file, line and what was expected.
    """
    try:
        if str(path) == "-":
            return _read_rows(sys.stdin, "standard input")
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read_rows(file, str(path))
    except OSError as exc:
        raise CalibrationError(f"{path}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise CalibrationError(f"{path}: no text: expected CSV") from exc


def _read_rows(file: TextIO, name: str) -> Samples:
    rows = csv.DictReader(file)
    try:
        columns = rows.fieldnames or []
        missing = {"distance_m", "rssi_dbm"} - set(columns)
        if missing:
            raise CalibrationError(
                f"{name}: expected the columns distance_m and rssi_dbm, got {', '.join(columns) or 'none'}"
            )
        samples = Samples(distances_m=[], rssi_dbm=[], places=[] if "place" in columns else None)
        for row in rows:
            samples.distances_m.append(_number(row, "distance_m", name, rows.line_num))
            samples.rssi_dbm.append(_number(row, "rssi_dbm", name, rows.line_num))
            if samples.places is not None:
                samples.places.append(row["place"] or "")
    except csv.Error as exc:
        raise CalibrationError(f"{name}, line {rows.line_num}: {exc}") from exc
    return samples


def _number(row: dict[str, str], column: str, name: str, line: int) -> float:
    text = row[column]
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise CalibrationError(f"{name}, line {line}: {column} {text!r}: expected a number")
    return value


def write_samples(path: Path, samples: Samples) -> None:
    """Keep samples as the file that `read_samples` reads."""
    places = samples.places or [f"{distance:g}" for distance in samples.distances_m]
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["distance_m", "rssi_dbm", "place"])
            writer.writerows(zip(samples.distances_m, samples.rssi_dbm, places, strict=True))
    except OSError as exc:
        raise CalibrationError(f"{path}: cannot be written: {exc.strerror or exc}") from exc


def parse_distances(text: str) -> list[float]:
    """Read metres, separated by commas."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise CalibrationError(f"--distances {text!r}: expected metres such as 1,2,4,8") from None
    if not all(0.1 <= distance <= 100 for distance in found):
        raise CalibrationError(f"--distances {text!r}: expected 0.1 to 100 metres each")
    return found


async def _guided(target: str, distances_m: list[float], seconds: float) -> Samples:
    # loaded here: they bring a Bluetooth stack, which a file of samples does not need
    from devices.ble_link import Advert
    from devices.ble_target import parse_ble_target
    from devices.bleak_door import BleRadio

    clock = SystemClock()
    heard: list[float] = []
    trouble: list[str] = []

    def hear(advert: Advert) -> None:
        if advert.rssi_dbm is not None:
            heard.append(float(advert.rssi_dbm))

    samples = Samples(distances_m=[], rssi_dbm=[], places=[])
    assert samples.places is not None
    async with BleRadio(clock) as radio:
        parsed = parse_ble_target(target, folder=Path.cwd())
        seat = radio.seat(
            target, parsed, on_advert=hear, on_adapter=lambda up, detail: None if up else trouble.append(detail)
        )
        try:
            for number, distance_m in enumerate(distances_m, start=1):
                click.echo(
                    f"[{number}/{len(distances_m)}] Put the tag {distance_m:g} m from the receiver, then press Enter",
                    err=True,
                )
                if await asyncio.to_thread(sys.stdin.readline) == "":
                    raise CalibrationError(f"standard input ended before place {number}: expected Enter at each place")
                heard.clear()
                await clock.sleep_until(clock.mono_ns() + round(seconds * 1e9))
                if not heard:
                    why = trouble[-1] if trouble else "nothing was heard"
                    raise RadioError(
                        f"{target}: {why} within {seconds:g} s at {distance_m:g} m. Next: check that the tag is on, "
                        "then tagrig scan"
                    )
                click.echo(f"  {len(heard)} heard, median {statistics.median(heard):.0f} dBm", err=True)
                samples.distances_m.extend([distance_m] * len(heard))
                samples.rssi_dbm.extend(heard)
                samples.places.extend([f"place-{number}"] * len(heard))
        finally:
            seat.leave()
    return samples


def warnings_of(found: Calibration, samples: Samples) -> list[str]:
    """Say what makes a calibration doubtful."""
    warnings = []
    low, high = USUAL_EXPONENT
    if not low <= found.exponent <= high:
        warnings.append(
            f"the exponent {found.exponent:.1f} lies outside of {low} to {high}: a wall between some places, or a "
            "wrong distance?"
        )
    if found.reference_var_db2 is None:
        warnings.append(f"{found.n_places} places leave the line without a band: expected three or more")
    keys: list[object] = list(samples.places) if samples.places is not None else list(samples.distances_m)
    few = min(keys.count(key) for key in set(keys))
    if few < FEW_SAMPLES:
        warnings.append(f"one place has {few} advertisements only: expected {FEW_SAMPLES} or more at each")
    return warnings


def _rows(found: Calibration) -> list[tuple[float, float, float | None, float | None]]:
    rows = []
    for distance_m in SHOWN_M:
        low, high = found.band_dbm(distance_m) or (None, None)
        rows.append((distance_m, found.expected_dbm(distance_m), low, high))
    return rows


def _text(content: CalibrationFile, found: Calibration, warnings: list[str], out: Path | None) -> str:
    lines = [
        f"{content.tag} at {content.receiver}: {found.n_samples} advertisements at {found.n_places} places",
        f"  at 1 m     {found.reference_dbm:7.1f} dBm",
        f"  exponent   {found.exponent:7.2f}",
        f"  shadowing  {found.shadowing_sd_db:7.1f} dB between places",
        f"  fading     {found.fading_sd_db:7.1f} dB within a place",
        "  place      expected    95 % band of the line",
    ]
    for distance_m, expected_dbm, low_dbm, high_dbm in _rows(found):
        band = "not known" if low_dbm is None or high_dbm is None else f"{low_dbm:.1f} to {high_dbm:.1f} dBm"
        lines.append(f"  {distance_m:4g} m   {expected_dbm:7.1f} dBm    {band}")
    lines += [f"careful: {warning}" for warning in warnings]
    lines.append("Not written. Next: add --out FILE" if out is None else f"Written to {out}")
    return "\n".join(lines)
