"""Calibration files: how strongly one receiver hears one tag, as ``tagrig calibrate rssi`` writes it. JSON, strict."""

import os
import tempfile
from pathlib import Path
from typing import Literal

import msgspec

from devices.errors import CalibrationError
from devices.rssi import Calibration


class CalibrationFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One calibration and whose it is. Fields as in ``devices.rssi.Calibration``."""

    version: Literal[1] = 1
    tag: str
    receiver: str
    made_utc: str
    reference_dbm: float
    exponent: float
    shadowing_sd_db: float
    fading_sd_db: float
    residual_sd_db: float
    n_samples: int
    n_places: int
    reference_var_db2: float | None = None
    covariance_db: float | None = None
    exponent_var: float | None = None

    def calibration(self) -> Calibration:
        """Return what the presence estimator takes."""
        return Calibration(
            reference_dbm=self.reference_dbm,
            exponent=self.exponent,
            shadowing_sd_db=self.shadowing_sd_db,
            fading_sd_db=self.fading_sd_db,
            residual_sd_db=self.residual_sd_db,
            n_samples=self.n_samples,
            n_places=self.n_places,
            reference_var_db2=self.reference_var_db2,
            covariance_db=self.covariance_db,
            exponent_var=self.exponent_var,
        )


def to_file(calibration: Calibration, *, tag: str, receiver: str, made_utc: str) -> CalibrationFile:
    """Put a calibration into a file's form."""
    return CalibrationFile(
        tag=tag,
        receiver=receiver,
        made_utc=made_utc,
        reference_dbm=calibration.reference_dbm,
        exponent=calibration.exponent,
        shadowing_sd_db=calibration.shadowing_sd_db,
        fading_sd_db=calibration.fading_sd_db,
        residual_sd_db=calibration.residual_sd_db,
        n_samples=calibration.n_samples,
        n_places=calibration.n_places,
        reference_var_db2=calibration.reference_var_db2,
        covariance_db=calibration.covariance_db,
        exponent_var=calibration.exponent_var,
    )


def write_calibration(path: Path, content: CalibrationFile) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    CalibrationError
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        os.chmod(file.name, 0o644)  # noqa: PTH101 - a name, not a path, is what tempfile gives
        os.replace(file.name, path)  # noqa: PTH105
    except OSError as exc:
        raise CalibrationError(f"{path}: cannot be written: {exc.strerror or exc}. Next: choose another --out") from exc


def read_calibration(path: Path) -> CalibrationFile:
    """Read a file.

    Raises
    ------
    CalibrationError
        It cannot be read, or is no calibration of ours; the message names the field.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=CalibrationFile)
    except OSError as exc:
        raise CalibrationError(f"{path}: {exc.strerror or exc}. Next: tagrig calibrate rssi makes one") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise CalibrationError(f"{path}: {exc}. Expected a file that tagrig calibrate rssi has written") from exc
