"""Errors of ``devices``; no exception of a third-party library leaves this package.

::

    DevicesError
      TransportError (OSError)
        TransportSpecError (ValueError)   a specification string that names no transport
        TransportOpenError                the port is absent, busy or refused
        TransportLostError                the other side went away
        TransportEndedError (EOFError)    a replay is over
        TransportClosedError              used after close
      CaptureError (ValueError)           a file that is not a capture, or a damaged header
      CommandTimeoutError (TimeoutError)  the tag did not acknowledge a command
"""


class DevicesError(Exception):
    """Root of this package's errors."""


class TransportError(DevicesError, OSError):
    """Something about a byte stream."""


class TransportSpecError(TransportError, ValueError):
    """A specification string is not understood, for example ``serail:/dev/ttyUSB0``."""


class TransportOpenError(TransportError):
    """The port is absent, busy or refused, for example ``/dev/ttyUSB0`` without permission."""


class TransportLostError(TransportError):
    """The other side went away, for example a USB adapter was pulled out."""


class TransportEndedError(TransportError, EOFError):
    """A replay has handed on its last byte."""


class TransportClosedError(TransportError):
    """``receive`` or ``send`` on a transport that is closed."""


class CaptureError(DevicesError, ValueError):
    """A file is not a capture of ours, or its header is damaged."""


class CommandTimeoutError(DevicesError, TimeoutError):
    """A tag did not acknowledge a command after all retries."""
