"""What a tag's GATT server holds, declared: services, characteristics, who may read and write them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Flag, IntEnum, auto

Reader = Callable[[], "bytes | Awaitable[bytes]"]
"""Gives a characteristic's value when it is read; may raise `AttRefusedError` to answer with an ATT error."""

Writer = Callable[[bytes], "Awaitable[None] | None"]
"""Takes what was written; may raise `AttRefusedError` to answer with an ATT error."""


class Access(Flag):
    """What may be done with a characteristic."""

    READ = auto()
    WRITE = auto()
    WRITE_WITHOUT_RESPONSE = auto()
    NOTIFY = auto()
    INDICATE = auto()


class Guard(IntEnum):
    """What a link must be before a value is read or written."""

    OPEN = 0
    ENCRYPTED = 1
    AUTHENTICATED = 2
    """Encrypted with a key from a pairing that a passkey protected (MITM)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GattDescriptor:
    """A descriptor of a characteristic, such as its user description (0x2901); what is written to it is kept."""

    uuid: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GattCharacteristic:
    """One characteristic. Two of one UUID, as 0x2A06 on a Find Me tag, are told apart by being two objects.

    Attributes
    ----------
    uuid : str
        Full 128-bit UUID, lower case.
    access : Access
        What may be done with it.
    value : bytes
        What a read gives where there is no `read`.
    read, write : callable, optional
        What gives and takes its value.
    read_guard, write_guard : Guard
        What the link must be; with a read guard, subscribing needs an encrypted link.
    descriptors : tuple of GattDescriptor
        Its descriptors beside the one that subscriptions make.
    """

    uuid: str
    access: Access
    value: bytes = b""
    read: Reader | None = None
    write: Writer | None = None
    read_guard: Guard = Guard.OPEN
    write_guard: Guard = Guard.OPEN
    descriptors: tuple[GattDescriptor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GattService:
    """One primary service."""

    uuid: str
    characteristics: tuple[GattCharacteristic, ...]
