"""From the name of a file to the source that reads it."""

from collections.abc import Sequence
from pathlib import Path

from rig.backtest.columns import ColumnRules
from rig.backtest.errors import HistoryError, MissingExtraError
from rig.backtest.fixes import DeviceNames, Source, Tally
from rig.backtest.logs import CaptureSource, GpxSource, NmeaSource

FORMATS = ("csv", "parquet", "nmea", "gpx", "capture")

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".nmea": "nmea",
    ".log": "nmea",
    ".gpx": "gpx",
    ".tagcap": "capture",
}


def open_sources(
    paths: Sequence[Path], format_name: str | None, rules: ColumnRules, devices: DeviceNames, tally: Tally
) -> list[Source]:
    """Open every input, so that all that is wrong with a header is known before anything is judged.

    Raises
    ------
    HistoryError
        A file is absent, of unknown format, or has no such columns.
    MissingExtraError
        pyarrow is needed and not installed.
    """
    return [_open(path, format_name or _format_of(path), rules, devices, tally) for path in paths]


def _format_of(path: Path) -> str:
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    try:
        return _SUFFIXES[suffix]
    except KeyError:
        raise HistoryError(
            f"{path}: the name does not say what is in it (known: {', '.join(_SUFFIXES)}, each also with .gz but "
            f"Parquet and captures). Next: --format {'|'.join(FORMATS)}"
        ) from None


def _open(path: Path, format_name: str, rules: ColumnRules, devices: DeviceNames, tally: Tally) -> Source:
    if not path.is_file():
        raise HistoryError(f"{path}: {'is no file' if path.exists() else 'is not there'}. Next: check the path")
    match format_name:
        case "nmea":
            return NmeaSource(path, devices, tally, timed=rules.timed)
        case "gpx":
            return GpxSource(path, devices, tally, timed=rules.timed)
        case "capture":
            return CaptureSource(path, devices, tally, timed=rules.timed)
    need_pyarrow()
    from rig.backtest.arrow_in import CsvSource, ParquetSource

    return (ParquetSource if format_name == "parquet" else CsvSource)(path, rules, devices, tally)


def need_pyarrow() -> None:
    """Raise where pyarrow is missing.

    Raises
    ------
    MissingExtraError
        With what to install.
    """
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            "tables (CSV, Parquet) need the package 'pyarrow'. Next: pip install 'tagrig[backtest]'"
        ) from exc


def need_distributed() -> None:
    """Raise where distributed is missing.

    Raises
    ------
    MissingExtraError
        With what to install.
    """
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            "--dask needs the package 'distributed'. Next: pip install 'tagrig[backtest,dask]'"
        ) from exc
