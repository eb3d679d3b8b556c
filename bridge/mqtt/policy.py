"""What the publisher is told and tells: receipts, disclosures, the state of a connection."""

from dataclasses import dataclass
from typing import Literal, Protocol

from bridge.publisher import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerState:
    """A connection changed; handed to ``on_state`` in the publisher's thread. ``is_over``: that thread has failed.

    ``path`` names the path, ``url`` the endpoint that it is about; both are empty if ``is_over``.
    """

    connected: bool
    detail: str
    is_over: bool = False
    path: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptPolicy:
    """Whether alerts are sent again until the provider confirms them.

    ``auto``: once a receipt was ever seen. ``timeout_s`` is doubled with each sending, up to a quarter of an hour.
    """

    mode: Literal["auto", "always", "never"] = "auto"
    timeout_s: float = 15.0

    @property
    def timeout_ns(self) -> int:
        """The same in nanoseconds."""
        return int(self.timeout_s * 1e9)

    def is_on(self, *, receipts_seen: bool) -> bool:
        """Whether unconfirmed alerts are to be sent again."""
        return self.mode == "always" or (self.mode == "auto" and receipts_seen)


class DisclosureSink(Protocol):
    """Where each message to an outside broker is written down; never raises on trouble with its disk."""

    def note(self, message: Message, body: bytes, endpoint: str, attempt: int) -> None:
        """Take down one message that is about to be sent, with its body as it will be sent."""
        ...

    def flush(self) -> None:
        """Write what was taken down: before it is sent, and at every turn of the thread."""
        ...

    def close(self) -> None:
        """Write and sync what is left; nothing comes after it."""
        ...
