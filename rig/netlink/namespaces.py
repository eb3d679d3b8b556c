"""Network namespaces of the bench's own, and who is left over from a bench that was killed."""

import ctypes
import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rig.brokers.child import NAMESPACES
from rig.netlink.errors import NetlinkError

PREFIX = "tagrig-"

PROGRAMS = ("ip", "nft", "nsenter")
"""Of the packages iproute2, nftables and util-linux."""

PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
"""Where they are looked for: a user's PATH need not lead to what only root uses."""

CLONE_NEWNET = 0x40000000

_numbers = itertools.count(1)


def find_obstacle() -> str | None:
    """Say why no network of our own can be made here; None: it can."""
    if os.geteuid() != 0:
        return "namespaces, TUN devices and packet filters need root"
    for program in PROGRAMS:
        if shutil.which(program, path=PATH) is None:
            return f"{program} is not installed (packages iproute2, nftables, util-linux)"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun: the kernel or the container gives no TUN devices"
    try:
        probe = make_namespace("probe")
    except NetlinkError as exc:
        return str(exc)
    remove_namespace(probe)
    return None


def make_namespace(label: str) -> str:
    """Make a namespace with its own loopback and give its name, which holds our process id.

    Raises
    ------
    NetlinkError
        The kernel or the container does not allow it.
    """
    name = f"{PREFIX}{os.getpid()}-{next(_numbers)}-{label}"
    run(["ip", "netns", "add", name])
    run(["ip", "-n", name, "link", "set", "lo", "up"])
    return name


def enter_namespace(name: str) -> None:
    """Move this thread into a namespace; what it opens and starts from now on is there.

    Raises
    ------
    NetlinkError
        There is none of that name, or we may not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        entrance = os.open(NAMESPACES / name, os.O_RDONLY)
    except OSError as exc:
        raise NetlinkError(f"no namespace {name}: {exc.strerror}") from exc
    try:
        if libc.setns(entrance, CLONE_NEWNET) != 0:
            raise NetlinkError(f"namespace {name} cannot be entered: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(entrance)


def remove_namespace(name: str) -> None:
    """Remove a namespace; processes that still live in it keep it alive until they end."""
    run(["ip", "netns", "del", name])


def remove_orphans() -> None:
    """Remove namespaces of benches that were killed."""
    if not NAMESPACES.is_dir():
        return
    for each in NAMESPACES.glob(f"{PREFIX}*"):
        pid = each.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            remove_namespace(each.name)


def run(command: Sequence[str], *, namespace: str | None = None, said: str = "") -> str:
    """Run a program to its end, in a namespace if one is named, and give its output.

    Raises
    ------
    NetlinkError
        It failed; the message holds what it said.
    """
    entered = () if namespace is None else ("nsenter", f"--net={NAMESPACES / namespace}", "--")
    try:
        done = subprocess.run(
            [*entered, *command],
            input=said,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PATH": PATH},
        )
    except OSError as exc:
        raise NetlinkError(f"{command[0]} cannot be run: {exc.strerror}") from exc
    except subprocess.CalledProcessError as exc:
        raise NetlinkError(f"{' '.join(command)} failed ({exc.returncode}): {exc.stderr.strip()}") from exc
    return done.stdout
