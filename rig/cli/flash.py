"""``tagrig flash``: new firmware for a tag, tried out before it stays."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import click
import msgspec

from devices.ble_target import parse_ble_target
from devices.clock import SystemClock
from devices.errors import (
    FirmwareFileError,
    FirmwareLinkError,
    FirmwareRefusedError,
    FirmwareVerdictError,
    TransportSpecError,
)
from devices.firmware_image import FirmwareImage, read_image
from devices.firmware_update import (
    RECONNECT_S,
    FirmwareUpdate,
    SlotImage,
    SmpDoor,
    UpdateGoal,
    UpdateReport,
    UpdateStep,
)
from devices.transports.spec import BAUD_MAX, parse_spec
from rig.cli.exit_codes import ExitCode

SMP_BAUD = 115_200
"""Bd. What a console has unless told otherwise; over USB it does not matter."""


_INTERRUPTED = 130
_EXTRA_PARTS = ("smp", "smpclient", "cbor2")


class FlashWord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``--json``: a step that began, or how far the upload is."""

    event: str
    step: str | None = None
    done_bytes: int | None = None
    all_bytes: int | None = None


class ImageWord(msgspec.Struct, frozen=True, kw_only=True):
    """One image on the tag."""

    slot: int
    version: str
    sha256: str | None
    active: bool
    confirmed: bool
    pending: bool


class StateWord(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="images"):
    """What is in the slots."""

    images: list[ImageWord]


class DoneWord(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="done"):
    """The update is over, and went well."""

    version_before: str
    version_after: str
    goal: str
    uploaded_bytes: int
    upload_s: float
    resumed: int


@click.command(
    epilog="Exit codes: 0 done; 1 the tag refused, reverted, or runs something else; 2 usage, or the file is no image; "
    "3 the tag cannot be reached or stopped answering (a new run goes on where it ended)."
)
@click.argument("image_file", required=False, metavar="[IMAGE]", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "target",
    required=True,
    metavar="SPEC",
    help="serial:PORT[?baud=...] or ble:ADDRESS, ble:rolling?key_file=...",
)
@click.option(
    "--then",
    type=click.Choice([goal.value for goal in UpdateGoal]),
    default=UpdateGoal.CONFIRM.value,
    show_default=True,
    help="How far to go: confirm what was read back; leave it on test until the next reset; or upload alone.",
)
@click.option("--state", "show", is_flag=True, help="Only print what is in the slots.")
@click.option("--confirm-running", is_flag=True, help="Confirm the image that runs on test.")
@click.option("--revert", is_flag=True, help="Reset a tag that runs an image on test: the old one comes back.")
@click.option(
    "--boot-s", type=click.FloatRange(0.1, 600), default=60.0, show_default=True, help="How long a reset may take."
)
@click.option(
    "--reply-s", type=click.FloatRange(0.05, 60), default=2.5, show_default=True, help="How long an answer may take."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: step, progress, images, done.")
def command(
    image_file: Path | None,
    target: str,
    then: str,
    show: bool,
    confirm_running: bool,
    revert: bool,
    boot_s: float,
    reply_s: float,
    as_json: bool,
) -> None:
    """Bring new firmware onto a tag by its management server (MCUmgr SMP).

    The image is checked, uploaded, started on test, read back and compared; only then it is confirmed. If anything goes
    wrong before that, the next reset brings the old firmware back.
    """
    if (image_file is not None) + show + confirm_running + revert != 1:
        raise click.UsageError("expected one of: an IMAGE, --state, --confirm-running, --revert")
    try:
        image = None if image_file is None else read_image(image_file)
        asyncio.run(_run(target, image, UpdateGoal(then), show, confirm_running, boot_s, reply_s, as_json))
    except (FirmwareFileError, TransportSpecError) as exc:
        _end(str(exc), ExitCode.USAGE)
    except FirmwareLinkError as exc:
        _end(str(exc), ExitCode.BENCH_BROKEN)
    except (FirmwareRefusedError, FirmwareVerdictError) as exc:
        _end(str(exc), ExitCode.VERDICT_FAIL)
    except KeyboardInterrupt:
        _end("interrupted; what was uploaded is kept, nothing was confirmed", _INTERRUPTED)
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _EXTRA_PARTS:
            raise
        _end(f"this verb needs the package {exc.name!r}. Next: pip install 'tagrig[flash]'", ExitCode.USAGE)


def _end(text: str, code: int) -> None:
    click.echo(f"tagrig flash: {text}", err=True)
    sys.exit(code)


async def _run(
    target: str,
    image: FirmwareImage | None,
    goal: UpdateGoal,
    show: bool,
    confirm_running: bool,
    boot_s: float,
    reply_s: float,
    as_json: bool,
) -> None:
    teller = _Teller(as_json)
    async with _open_door(target, reply_s) as door:
        update = FirmwareUpdate(
            door,
            SystemClock(),
            on_step=teller.step,
            on_offset=teller.offset,
            boot_s=boot_s,
            reconnect_s=min(RECONNECT_S, boot_s / 20),
        )
        if image is not None:
            teller.report(await update.run(image, goal), image)
        elif show:
            teller.images(await update.read_states())
        elif confirm_running:
            teller.images(await update.confirm_running())
        else:
            teller.images(await update.revert())


@contextlib.asynccontextmanager
async def _open_door(target: str, reply_s: float) -> AsyncIterator[SmpDoor]:
    # loaded here: they bring a Bluetooth stack, which a wrong file or a missing option does not need
    from devices.smp_door import radio_door, serial_door

    if target.strip().startswith("ble:"):
        from devices.bleak_door import BleRadio

        clock = SystemClock()
        parsed = parse_ble_target(target, folder=Path.cwd())
        async with BleRadio(clock) as radio:
            yield radio_door(parsed, radio, clock, reply_s=reply_s)
        return
    spec = parse_spec(target, ["serial", "pty", "ble"])
    spec.check_options("baud")
    baud = spec.integer("baud", SMP_BAUD, low=300, high=BAUD_MAX)
    if not Path(spec.target).exists():  # noqa: ASYNC240 - nothing else runs yet
        raise FirmwareLinkError(f"{spec.text}: there is no such port. Next: tagrig scan lists the ports")
    yield serial_door(spec.text, spec.target, baud=baud, reply_s=reply_s)


class _Teller:
    """Says what happens, for a person with a progress bar or for a program line by line."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._live = sys.stderr.isatty()
        self._in_bar = False

    def step(self, step: UpdateStep) -> None:
        self._end_bar()
        if self._as_json:
            click.echo(msgspec.json.encode(FlashWord(event="step", step=step.value)).decode())
        else:
            click.echo(f"{step.value} ...")

    def offset(self, done: int, total: int) -> None:
        if self._as_json:
            word = FlashWord(event="progress", done_bytes=done, all_bytes=total)
            click.echo(msgspec.json.encode(word).decode())
        elif self._live:
            filled = 40 * done // total
            bar = "#" * filled + "." * (40 - filled)
            click.echo(f"\r  [{bar}] {100 * done // total:3d} %  {done} of {total} bytes", err=True, nl=False)
            self._in_bar = True

    def _end_bar(self) -> None:
        if self._in_bar:
            click.echo("", err=True)
            self._in_bar = False

    def report(self, report: UpdateReport, image: FirmwareImage) -> None:
        self._end_bar()
        upload_s = report.upload_ns / 1e9
        if self._as_json:
            word = DoneWord(
                version_before=report.version_before,
                version_after=report.version_after,
                goal=report.goal.value,
                uploaded_bytes=report.uploaded_bytes,
                upload_s=round(upload_s, 3),
                resumed=report.resumed,
            )
            click.echo(msgspec.json.encode(word).decode())
            return
        rate = (
            f" in {upload_s:.1f} s ({report.uploaded_bytes / upload_s / 1000:.0f} kB/s)"
            if report.uploaded_bytes
            else ""
        )
        again = f", taken up again {report.resumed} times" if report.resumed else ""
        click.echo(f"uploaded {report.uploaded_bytes} bytes{rate}{again}")
        match report.goal:
            case UpdateGoal.CONFIRM:
                click.echo(f"{report.version_before} -> {report.version_after}, read back and confirmed")
            case UpdateGoal.TEST:
                click.echo(
                    f"{report.version_before} -> {report.version_after}, on test: the next reset brings "
                    f"{report.version_before} back. Next: --confirm-running, or --revert"
                )
            case UpdateGoal.UPLOAD:
                click.echo(f"{report.version_after} runs on; {image.version} lies in the second slot")

    def images(self, images: list[SlotImage]) -> None:
        if self._as_json:
            rows = [
                ImageWord(
                    slot=image.slot,
                    version=image.version,
                    sha256=None if image.sha256 is None else image.sha256.hex(),
                    active=image.active,
                    confirmed=image.confirmed,
                    pending=image.pending,
                )
                for image in images
            ]
            click.echo(msgspec.json.encode(StateWord(images=rows)).decode())
            return
        for image in images:
            marks = [name for name in ("active", "confirmed", "pending") if getattr(image, name)]
            if image.active and not image.confirmed:
                marks.append("on test")
            digest = "no hash" if image.sha256 is None else image.sha256.hex()[:16]
            click.echo(f"slot {image.slot}  {image.version:12s} {digest}  {', '.join(marks) or 'idle'}")
