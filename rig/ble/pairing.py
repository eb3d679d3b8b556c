"""Pairing at both ends of a link: what the tag asks for, what the host's user can do."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from bumble.device import Connection, Device
from bumble.pairing import PairingConfig, PairingDelegate

PASSKEY_MAX: Final = 999_999
"""Passkeys have six decimal digits (Core 5.4, volume 3, part H, section 2.3.5.3)."""


class Pairing(Enum):
    """What a tag does when it is asked to pair."""

    REFUSED = "refused"
    JUST_WORKS = "just_works"
    PASSKEY = "passkey"
    """The six digits on the tag's label are asked for (MITM protection)."""


class _TagDelegate(PairingDelegate):
    def __init__(self, pairing: Pairing, passkey: int) -> None:
        shows = pairing is Pairing.PASSKEY
        super().__init__(PairingDelegate.DISPLAY_OUTPUT_ONLY if shows else PairingDelegate.NO_OUTPUT_NO_INPUT)
        self._pairing = pairing
        self._passkey = passkey

    async def accept(self) -> bool:
        return self._pairing is not Pairing.REFUSED

    async def generate_passkey(self) -> int:
        return self._passkey


def tag_pairing(pairing: Pairing, passkey: int) -> PairingConfig:
    """Give bumble's configuration of a tag."""
    protected = pairing is Pairing.PASSKEY
    return PairingConfig(sc=True, mitm=protected, bonding=True, delegate=_TagDelegate(pairing, passkey))


@dataclass(slots=True, kw_only=True)
class PairingHelp:
    """What the host's user can do in a pairing: None where nobody is there to ask.

    Attributes
    ----------
    can_enter, can_show : bool
        Whether there is a keyboard, whether there is a display.
    enter_passkey : callable, optional
        Asked for the six digits that the tag shows; None refuses.
    show_passkey : callable, optional
        Shows six digits that are to be entered at the tag.
    confirm : callable, optional
        Asked whether both sides show these digits.
    """

    can_enter: bool = False
    can_show: bool = False
    enter_passkey: Callable[[], Coroutine[Any, Any, int | None]] | None = None
    show_passkey: Callable[[int], Coroutine[Any, Any, None]] | None = None
    confirm: Callable[[int], Coroutine[Any, Any, bool]] | None = None


class _HostDelegate(PairingDelegate):
    def __init__(self, help_: PairingHelp) -> None:
        if help_.can_enter:
            both = PairingDelegate.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT
            capability = both if help_.can_show else PairingDelegate.KEYBOARD_INPUT_ONLY
        elif help_.can_show:
            capability = PairingDelegate.DISPLAY_OUTPUT_ONLY
        else:
            capability = PairingDelegate.NO_OUTPUT_NO_INPUT
        super().__init__(capability)
        self._help = help_

    async def get_number(self) -> int | None:
        return await self._help.enter_passkey() if self._help.enter_passkey is not None else None

    async def display_number(self, number: int, digits: int) -> None:
        if self._help.show_passkey is not None:
            await self._help.show_passkey(number)

    async def compare_numbers(self, number: int, digits: int) -> bool:
        return self._help.confirm is None or await self._help.confirm(number)


def host_pairing(help_: PairingHelp) -> PairingConfig:
    """Give bumble's configuration of an adapter."""
    protected = help_.can_enter or help_.can_show
    return PairingConfig(sc=True, mitm=protected, bonding=True, delegate=_HostDelegate(help_))


def end_failed_pairing(device: Device, connection: Connection) -> None:
    """Let a link be paired anew after a failure: bumble keeps the failed attempt until the link ends."""
    attempt = device.smp_manager.sessions.get(connection.handle)
    if attempt is not None and attempt.completed:
        attempt.on_disconnection(0)
