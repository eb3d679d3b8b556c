"""Errors of ``protocols``. What a *peer* sends never raises: it becomes a ``Reject``. These are our own misuse.

::

    ProtocolsError
      EncodeError (ValueError)     a value that has no place on the wire
      DecoderClosedError (RuntimeError)   bytes fed after the decoder was closed
      KeyFormatError (ValueError)  a key that is not of the kind that signs commands
"""


class ProtocolsError(Exception):
    """Root of this package's errors."""


class EncodeError(ProtocolsError, ValueError):
    """A value cannot be encoded, for example a battery of 140 %."""


class DecoderClosedError(ProtocolsError, RuntimeError):
    """``feed`` was called after ``close``."""


class KeyFormatError(ProtocolsError, ValueError):
    """A key is not what signs or verifies commands, for example an RSA key in ``commands.provider_key_file``."""
