"""The ``tagrig`` command: one file per verb, loaded only when its verb is typed."""

import contextlib
import errno
import importlib
import sys
import traceback
from typing import NoReturn

import click

from rig.cli.exit_codes import ExitCode
from rig.cli.lost_output import OUTPUT_CLOSED, drop_output, stand_in_for_closed

VERBS: dict[str, str] = {
    "acl": "access lists of the contract's roles for mosquitto and NATS",
    "audit": "verify the log of disclosures, export the court pack of a tag",
    "backtest": "run a history of fixes through the zones: crossings and dwell as files",
    "bench": "check a bench file, who uses which hardware, power, firmware",
    "bridge": "read devices, judge them, publish to the provider's broker",
    "broker": "start the embedded broker alone",
    "calibrate": "fit signal strength to distance for one tag and one receiver",
    "certs": "certificates for tests: an authority, a broker, one client per role",
    "check-config": "print each value of a bridge configuration and where it came from",
    "command": "sign a command as the provider does, send it, print the answers",
    "contract": "JSON Schemas and the AsyncAPI document of the contract",
    "demo": "the main job on embedded defaults, judged against the truth",
    "disturb": "a real port with faults, on a pseudo-terminal that any program can open",
    "emulate": "an emulated device that any program can open",
    "export": "a run's trace, NMEA text and btsnoop captures as files for other programs",
    "faults": "what can go wrong on the bench: the catalogue",
    "flash": "firmware onto a tag over MCUmgr SMP, by wire or by Bluetooth",
    "nmea": "decode a file of NMEA sentences, one JSON object a line",
    "provider-check": "what a provider runs against its broker and its subscriber",
    "replay": "judge a run again from its journal, or recordings by the real bridge",
    "run": "play a scenario or a suite, judged against the truth: approach, nij, or a file",
    "scan": "list serial ports and what speaks on them, and Bluetooth tags in range",
    "watch": "the provider's view: print alerts as a subscriber gets them",
}
"""Verb and its one-line help. Module ``rig.cli.<verb>`` holds a click command named ``command``."""


_EXTRA_OF = {
    "bokeh": "rig",
    "bumble": "rig",
    "cbor2": "rig",
    "geographiclib": "rig",
    "jsonschema": "rig",
    "pyproj": "rig",
    "trustme": "rig",
    "aioesphomeapi": "esphome",
    "distributed": "dask",
    "pyarrow": "backtest",
    "smp": "flash",
    "smpclient": "flash",
}
"""Which extra brings a package that is not installed."""

_HAS_OWN_CODE = frozenset({"bridge"})
"""Verbs that say themselves what a mistake of ours ends with: supervisors of a bridge know 1, as Python has it."""


class _LazyGroup(click.Group):
    """Imports a verb's module only when it is used: ``tagrig nmea`` must not load a plotting library."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"rig.cli.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        # click's own code for a closed pipe, and Python's for what nobody caught, is 1, which is the verdict FAIL here
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except BrokenPipeError:
            drop_output()
            sys.exit(OUTPUT_CLOSED)
        except Exception as exc:
            if isinstance(exc, OSError) and exc.errno == errno.ENOSPC and exc.filename is None:
                drop_output()
                click.echo(
                    f"tagrig: output cannot be written: {exc.strerror}. Next: free some space, run it again", err=True
                )
                sys.exit(ExitCode.BENCH_BROKEN)
            if isinstance(exc, ModuleNotFoundError) and _find_extra(exc) is not None:
                raise
            if ctx.invoked_subcommand in _HAS_OWN_CODE:
                raise
            verb = f" {ctx.invoked_subcommand}" if ctx.invoked_subcommand else ""
            with contextlib.suppress(OSError):
                traceback.print_exc()
                click.echo(
                    f"tagrig: this is a mistake in tagrig{verb}, and no verdict. Next: report it with the lines above",
                    err=True,
                )
            sys.exit(ExitCode.BENCH_BROKEN)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 ok, 1 verdict FAIL, 2 usage, 3 bench broken, 4 budget exceeded.",
)
@click.version_option(package_name="tagrig")
def cli() -> None:
    """Bridge and test rig for GPS ankle tags and victim smart tags."""


def _find_extra(exc: ModuleNotFoundError) -> str | None:
    return _EXTRA_OF.get((exc.name or "").partition(".")[0])


def main() -> NoReturn:
    """Entry point of the ``tagrig`` script."""
    stand_in_for_closed()
    try:
        cli.main(prog_name="tagrig", standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as exc:
        extra = _find_extra(exc)
        if extra is None:
            raise
        click.echo(f"tagrig: this verb needs the package {exc.name!r}. Next: pip install 'tagrig[{extra}]'", err=True)
        sys.exit(ExitCode.USAGE)
    sys.exit(ExitCode.OK)
