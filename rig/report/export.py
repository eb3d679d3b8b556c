"""A run in the formats of other people's tools: NMEA text for each line, btsnoop for the radio, trace events."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.capture import SUFFIX, RecordKind, read_records
from devices.errors import CaptureError
from protocols.nmea.checksum import checksum
from rig.errors import RunFolderError
from rig.report.trace import write_trace
from rig.runs.folder import CAPTURES_FOLDER, RADIO_FOLDER, TRACE_FILE, VERDICT_FILE
from rig.runs.load import load_run
from rig.truth.findings import RunVerdict, read_verdict
from rig.truth.verdict import Verdict

_LINE_CAP: Final = 4096
"""Bytes of a line without an end; a line that carries something else is cut there, so that none is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A file that was written, and what it holds."""

    path: Path
    what: str


def export_run(folder: Path, out: Path, *, stamped: bool = False) -> tuple[list[Exported], list[str]]:
    """Write everything that a run's folder holds in formats of others; return the files, and what there was none of.

    Parameters
    ----------
    folder, out : Path
        Of the run; of the files, made where it is missing.
    stamped : bool
        Put a TAG block (NMEA 0183, 4.10) before each line: the device's id and when it came in.

    Raises
    ------
    RunFolderError
        It is not the folder of a run, one of its files is damaged, or ``out`` cannot be written.
    """
    run = load_run(folder)
    done: list[Exported] = []
    missing: list[str] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        lines: dict[str, list[bytes]] = {}
        for path in sorted((folder / CAPTURES_FOLDER).glob(f"*{SUFFIX}")):
            header, records = read_records(path)
            received = ((r.t_utc_ns, r.data) for r in records if r.kind is RecordKind.RECEIVED)
            lines.setdefault(header.device_id, []).extend(
                _tag_block(header.device_id, t_utc_ns) + line if stamped else line
                for t_utc_ns, line in whole_lines(received)
            )
        for device, mine in lines.items():
            path = out / f"{device}.nmea"
            path.write_bytes(b"".join(line + b"\r\n" for line in mine))
            done.append(Exported(path=path, what=f"{len(mine)} lines that {device} sent, damaged ones included"))
        if not lines:
            missing.append("no capture of a line: no NMEA text")
        snoops = sorted((folder / RADIO_FOLDER).glob("*.btsnoop"))
        for snoop in snoops:
            shutil.copyfile(snoop, out / snoop.name)
            done.append(Exported(path=out / snoop.name, what="HCI packets; Wireshark and btmon -r open it"))
        if not snoops:
            missing.append("no capture of the radio: no btsnoop file")
        judged = (folder / VERDICT_FILE).exists()
        verdict = read_verdict(folder / VERDICT_FILE) if judged else RunVerdict(verdict=Verdict.UNSET)
        write_trace(out / TRACE_FILE, run, verdict)
        done.append(Exported(path=out / TRACE_FILE, what="trace events; open it at ui.perfetto.dev"))
        if not judged:
            missing.append("no verdict: the trace tells none")
    except OSError as exc:
        raise RunFolderError(f"{out}: cannot export: {exc.strerror}. Next: choose another folder with --out") from exc
    except CaptureError as exc:
        raise RunFolderError(f"cannot export: {exc}") from exc
    return done, missing


def whole_lines(chunks: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Join chunks and cut them into lines; each with the time at which its first byte came."""
    rest, since_ns = b"", 0
    for t_utc_ns, data in chunks:
        if not rest:
            since_ns = t_utc_ns
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield since_ns, line.rstrip(b"\r")
            since_ns = t_utc_ns
        while len(rest) > _LINE_CAP:
            yield since_ns, rest[:_LINE_CAP]
            rest, since_ns = rest[_LINE_CAP:], t_utc_ns
    if rest:
        yield since_ns, rest


def _tag_block(device: str, t_utc_ns: int) -> bytes:
    r"""Write ``\s:<source>,c:<milliseconds since 1970>*hh\``; a source has 15 characters at most."""
    body = f"s:{device[:15]},c:{t_utc_ns // 1_000_000}".encode("ascii", "replace")
    return b"\\" + body + f"*{checksum(body):02X}".encode() + b"\\"
