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
      CalibrationError (ValueError)       samples of signal strength that no calibration can come from
      RadioError (OSError)                something about Bluetooth
        RadioAbsentError                  no adapter, switched off, or no Bluetooth service
        LinkFailedError                   a connection could not be made
          NoSlotError                     the adapter keeps no more connections
        LinkLostError                     a connection broke, or its other end stopped answering
        LinkAuthError (PermissionError)   pairing was refused, or the tag wants a link that is paired
          BondUnprotectedError            a bond was made, but without asking for the passkey
        AttRefusedError                   the tag answered with an ATT error
      FirmwareError                       something about a firmware update
        FirmwareFileError (ValueError)    a file that is no firmware image, or a damaged one
        FirmwareLinkError (OSError)       the tag cannot be reached, or stopped answering
        FirmwareRefusedError              the tag refused a step
        FirmwareVerdictError              every step was taken, and the tag does not run what it should
      WarnLostError                       a warning did not reach the person's tag, or it did not say so
"""

from enum import StrEnum, unique


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


class CalibrationError(DevicesError, ValueError):
    """Samples of signal strength that no calibration can come from, for example all at one distance."""


class RadioError(DevicesError, OSError):
    """Something about Bluetooth."""


class RadioAbsentError(RadioError):
    """No adapter, switched off, or the Bluetooth service cannot be reached, for example ``hci0`` pulled out."""


class LinkFailedError(RadioError):
    """A connection could not be made, for example because the tag went out of range."""


class NoSlotError(LinkFailedError):
    """The adapter keeps no more connections than it has, for example the eighth on a USB dongle."""


class LinkLostError(RadioError):
    """A connection broke, or its other end stopped answering within the deadline."""


class LinkAuthError(RadioError, PermissionError):
    """Pairing was refused, or the tag wants a paired link, for example after a wrong passkey."""


class BondUnprotectedError(LinkAuthError):
    """A bond was made without asking for the passkey, for example with somebody who answers in the tag's place."""


class AttRefusedError(RadioError):
    """The tag answered with an ATT error.

    Attributes
    ----------
    code : int
        Bluetooth Core, volume 3, part F, 3.4.1.1.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@unique
class WarnLoss(StrEnum):
    """Why a warning counts as lost."""

    OUT_OF_RANGE = "out_of_range"
    """No connection within the patience of a warning."""
    REFUSED = "refused"
    """The tag answered the write with an error."""
    NO_ACK = "no_ack"
    """Written, but the tag never said that it warns."""
    NOT_RUNNING = "not_running"
    """The driver of the tag is not running, or ended."""


class WarnLostError(DevicesError):
    """A warning did not reach the person's tag, or the tag did not say that it warns.

    Attributes
    ----------
    reason : WarnLoss
    """

    def __init__(self, message: str, reason: WarnLoss) -> None:
        super().__init__(message)
        self.reason = reason


class FirmwareError(DevicesError):
    """Something about a firmware update."""


class FirmwareFileError(FirmwareError, ValueError):
    """A file is no firmware image, for example an ELF file, or one byte of it is wrong."""


class FirmwareLinkError(FirmwareError, OSError):
    """The tag cannot be reached, or stopped answering in the middle."""


class FirmwareRefusedError(FirmwareError):
    """The tag refused a step, for example because the image is too large for its slot."""


class FirmwareVerdictError(FirmwareError):
    """Every step was taken, and the tag does not run the image: its bootloader refused or reverted it."""
