"""Errors of ``bridge``. What a device or a broker does never raises here; these are for the person who starts it.

::

    BridgeError
      ConfigError (ValueError)          a configuration cannot be used; lists every problem with its place
      BrokerStartError (RuntimeError)   the embedded broker did not start, for example its program is missing
      PublisherClosedError (RuntimeError)   ``submit`` after ``close``
      DisclosureError (RuntimeError)    the disclosure log cannot be continued, or another process writes it
"""

from dataclasses import dataclass


class BridgeError(Exception):
    """Root of this package's errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a configuration.

    Attributes
    ----------
    path : str
        Dotted key, for example ``device[0].interval_s``; empty for the file as a whole.
    where : str
        File and line, ``--set`` or the environment variable.
    message : str
        What was expected, what was got, what to do.
    """

    path: str
    where: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.message) if part)


class ConfigError(BridgeError, ValueError):
    """A configuration cannot be used, for example ``intervall_s`` in a ``[[device]]``."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class BrokerStartError(BridgeError, RuntimeError):
    """The embedded broker did not start, for example nats-server is not installed."""


class PublisherClosedError(BridgeError, RuntimeError):
    """A message was submitted after the publisher was closed."""


class DisclosureError(BridgeError, RuntimeError):
    """The disclosure log cannot be continued, for example another bridge with the same id writes it."""


class OutboxError(BridgeError, RuntimeError):
    """The outbox on disk cannot be used, for example because its folder is a file."""


class OutboxLockedError(OutboxError):
    """Another process has the outbox, for example a second bridge with the same configuration."""


class OutboxVersionError(OutboxError):
    """The outbox was written by a newer tagrig, or the file is no outbox."""


class OutboxCorruptError(OutboxError):
    """The disk gave back something else than was written, for example after a page of the file was overwritten."""


class OutboxRowError(OutboxCorruptError):
    """One message in the outbox cannot be read back, for example its properties were cut short."""


class OutboxUnsendableError(OutboxError):
    """A message cannot be put into a packet, for example because there is a ``#`` in its topic."""


class OutboxFullError(OutboxError):
    """The disk is full, for example because another program wrote too much to it."""


class OutboxReadOnlyError(OutboxError):
    """The outbox may not be written to, for example on a file system that the kernel remounted after an error."""


class OutboxIoError(OutboxError):
    """The disk failed, for example ``fsync`` answered EIO."""


class LayoutBusyError(OutboxError):
    """Devices must be handed over to other bridges while bridges of the old number still run."""
