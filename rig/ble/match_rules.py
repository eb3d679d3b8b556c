"""Match rules of D-Bus: which signals a client asked for (D-Bus specification, section "Match Rules")."""

import re
from typing import Final

from dbus_fast import Message

_RULE: Final = re.compile(r"(\w+)=(?:'([^']*)'|([^,']*))")


def parse_rule(text: str) -> dict[str, str]:
    """Read a match rule such as ``type='signal',path_namespace='/org/bluez'``, with or without quotes."""
    return {key: quoted or plain for key, quoted, plain in _RULE.findall(text)}


def matches(rule: dict[str, str], message: Message) -> bool:
    """Tell whether a signal is what a match rule asks for."""
    for key, wanted in rule.items():
        if key == "type":
            fits = wanted == "signal"
        elif key == "interface":
            fits = message.interface == wanted
        elif key == "member":
            fits = message.member == wanted
        elif key == "path":
            fits = message.path == wanted
        elif key == "path_namespace":
            fits = _under(message.path or "", wanted)
        elif key == "sender":
            fits = message.sender == wanted or wanted == "org.bluez"
        elif key == "arg0path":
            fits = _arg0path(message, wanted)
        elif key == "arg0":
            fits = bool(message.body) and message.body[0] == wanted
        else:
            fits = key in {"eavesdrop", "destination"}
        if not fits:
            return False
    return True


def _under(path: str, namespace: str) -> bool:
    return path == namespace or path.startswith(namespace.rstrip("/") + "/")


def _arg0path(message: Message, wanted: str) -> bool:
    if not message.body or not isinstance(message.body[0], str):
        return False
    got = message.body[0]
    return (
        got == wanted
        or (wanted.endswith("/") and got.startswith(wanted))
        or (got.endswith("/") and wanted.startswith(got))
    )
