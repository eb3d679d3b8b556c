"""Who may read and write what: one table of roles, rendered for mosquitto and for NATS.

=================  ====================================================  ==========================================
role               reads                                                 writes
=================  ====================================================  ==========================================
bridge             its receipt, cmd, canary; provider/+/status           tag/+, protected/+, control/+; its own
                                                                         status, heartbeat, reply, canary
provider           tag, protected, control; bridges' status,             bridges' receipt and cmd; its own status
                   heartbeat, reply; provider/+/status
police             control; bridges' status                              -
wearer_reader      tag; bridges' status                                  -
protected_reader   protected; bridges' status                            -
=================  ====================================================  ==========================================

One of several bridges that divide the devices (``bridge-1-2of8``) also reads the receipts and commands of the whole
(``bridge-1``). What is not granted is refused. A client is known by its name: the common name of its certificate, or
its user name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

from protocols.mqtt.ids import find_common_name
from protocols.mqtt.table import CHANNELS, Channel, Direction
from protocols.mqtt.topics import Side, Stream

ANY = "+"


@unique
class Role(StrEnum):
    """Who connects to a broker."""

    BRIDGE = "bridge"
    PROVIDER = "provider"
    POLICE = "police"
    WEARER_READER = "wearer_reader"
    """May know all about the wearers, nothing of the protected persons but bands."""
    PROTECTED_READER = "protected_reader"
    """May know all about the protected persons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A client: its role, and its name at the broker. A bridge's name is its id, a provider's that of its consumer."""

    role: Role
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one party may do: topic filters below the root, in the order of the table of topics."""

    read: tuple[str, ...]
    write: tuple[str, ...]


def grant_of(party: Party, root: str) -> Grant:
    """Topic filters that a party may read and write."""
    return Grant(
        read=tuple(filter_ for each in CHANNELS for filter_ in _readable(party, each, root)),
        write=tuple(filter_ for each in CHANNELS for filter_ in _writable(party, each, root)),
    )


def _readable(party: Party, channel: Channel, root: str) -> Iterator[str]:
    match party.role:
        case Role.BRIDGE:
            if channel.side is Side.BRIDGE and channel.direction is not Direction.OUT:
                yield channel.topic(root, party.name)
                common = find_common_name(party.name)
                # The streams of devices name the bridge as a whole, and so do receipts of them.
                if common is not None and channel.direction is Direction.IN:
                    yield channel.topic(root, common)
            elif channel.side is Side.PROVIDER:
                yield channel.topic(root, ANY)
        case Role.PROVIDER:
            if channel.direction is Direction.OUT or channel.side is Side.PROVIDER:
                yield channel.topic(root, ANY)
        case Role.POLICE | Role.WEARER_READER | Role.PROTECTED_READER:
            if channel.side is _SIDE_OF[party.role] or (channel.side, channel.stream) == (Side.BRIDGE, Stream.STATUS):
                yield channel.topic(root, ANY)


def _writable(party: Party, channel: Channel, root: str) -> Iterator[str]:
    match party.role:
        case Role.BRIDGE:
            if channel.direction is not Direction.IN:
                yield channel.topic(root, party.name if channel.side is Side.BRIDGE else ANY)
        case Role.PROVIDER:
            if channel.direction is Direction.IN:
                yield channel.topic(root, party.name if channel.side is Side.PROVIDER else ANY)
        case Role.POLICE | Role.WEARER_READER | Role.PROTECTED_READER:
            pass


_SIDE_OF = {
    Role.POLICE: Side.CONTROL,
    Role.WEARER_READER: Side.TAG,
    Role.PROTECTED_READER: Side.PROTECTED,
}


def render_mosquitto(parties: Sequence[Party], root: str) -> str:
    """``acl_file`` of mosquitto. Anonymous clients and unknown users get nothing."""
    lines = [
        "# Access list for mosquitto. In mosquitto.conf, for the listener:",
        "#   allow_anonymous false",
        "#   acl_file /path/of/this/file",
        "# and either, to know clients by their certificates,",
        "#   require_certificate true",
        "#   use_identity_as_username true",
        "#   cafile, certfile, keyfile as tagrig certs made them",
        "# or, by passwords,",
        "#   password_file /path/of/a/file/made/by/mosquitto_passwd",
    ]
    for party in parties:
        grant = grant_of(party, root)
        lines += ["", f"# {party.role}", f"user {party.name}"]
        both = [each for each in grant.read if each in grant.write]
        lines += [f"topic readwrite {each}" for each in both]
        lines += [f"topic read {each}" for each in grant.read if each not in both]
        lines += [f"topic write {each}" for each in grant.write if each not in both]
    return "\n".join(lines) + "\n"


def render_nats(parties: Sequence[Party], root: str, *, by_password: bool = False) -> str:
    """Write the ``authorization`` block of nats-server, 2.14.3 or later.

    Parameters
    ----------
    parties : sequence of Party
    root : str
    by_password : bool
        Clients give a password, which the server reads from its environment; else their certificate names them.
    """
    lines = [
        "# Permissions for nats-server, 2.14.3 or later. Clients of MQTT only; each may do what is named, no more."
    ]
    if by_password:
        lines += ["# Passwords, plain or as bcrypt makes them, come from the server's environment."]
    else:
        lines += [
            "# Clients are known by the DNS name in their certificate:",
            "#   mqtt { tls { cert_file, key_file and ca_file as tagrig certs made them, verify_and_map: true } }",
        ]
    lines += ["authorization {", "  users: ["]
    for party in parties:
        grant = grant_of(party, root)
        read = _subscriptions(grant, root)
        # An empty list of what is allowed would allow everything.
        written = f"allow: [{_subjects(grant.write)}]" if grant.write else 'deny: ">"'
        lines += [f"    # {party.role}", "    {", f'      user: "{party.name}"']
        if by_password:
            lines += [f"      password: $TAGRIG_PASSWORD_{_variable(party.name)}"]
        lines += [
            '      allowed_connection_types: ["MQTT"]',
            "      permissions: {",
            f"        subscribe: {{ allow: [{_subjects(read)}] }}",
            f"        publish: {{ {written} }}",
            "      }",
            "    }",
        ]
    return "\n".join([*lines, "  ]", "}"]) + "\n"


def _subscriptions(grant: Grant, root: str) -> list[str]:
    """Give the filters to subscribe by; NATS grants one as a whole or not, so a whole side is ``{root}/tag/#`` too."""
    found = list(grant.read)
    for side in (Side.TAG, Side.PROTECTED, Side.CONTROL):
        streams = [each.topic(root, ANY) for each in CHANNELS if each.side is side]
        if all(each in found for each in streams):
            # "#" holds the level above it too.
            whole = [f"{root}/{side}", f"{root}/{side}/#"]
            found = [*whole, *(each for each in found if each not in streams)]
    return found


def _subjects(filters: Sequence[str]) -> str:
    return ", ".join(f'"{each.replace("/", ".").replace("+", "*").replace("#", ">")}"' for each in filters)


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
