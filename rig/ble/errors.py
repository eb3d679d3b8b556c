"""Errors of ``rig.ble``.

::

    RigError
      BleRigError
        AirMisuseError (ValueError)         two controllers of one name, a path to a tag that is not there
        HciPortError (OSError)              no HCI controller behind a port such as ``usb:0``
        FrontMisuseError (ValueError)       an unknown fault, tag or option
        BenchProcessError (RuntimeError)    the process that holds the emulated radio died or refused a command
        LinkError                           a radio link did not do what was asked
          LinkGoneError (ConnectionError)   the link ended, before or while it was used
          ConnectFailedError (ConnectionError)  the link did not come up
          AttRefusedError                   the tag answered with an ATT error code
          PairingRefusedError               pairing or encryption failed
"""

from rig.errors import RigError


class BleRigError(RigError):
    """Root of the emulated radio's errors."""


class AirMisuseError(BleRigError, ValueError):
    """The air was set up wrongly, for example with two tags of one name."""


class HciPortError(BleRigError, OSError):
    """There is no HCI controller behind a port, for example no dongle at ``usb:0``."""


class FrontMisuseError(BleRigError, ValueError):
    """The emulated org.bluez was asked for something it does not know, for example a fault of another name."""


class BenchProcessError(BleRigError, RuntimeError):
    """The process that holds the emulated radio died or refused a command."""


class LinkError(BleRigError):
    """A radio link did not do what was asked."""


class LinkGoneError(LinkError, ConnectionError):
    """The link ended before or while it was used, for example because the tag went out of range."""


class ConnectFailedError(LinkError, ConnectionError):
    """The link did not come up, for example because the tag was not heard in time."""


class AttRefusedError(LinkError):
    """The tag answered a request with an ATT error code.

    Attributes
    ----------
    code : int
        Error code as in the Core specification, volume 3, part F, table 3.4; 0x80 to 0x9F are the tag's own.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"the tag refused with ATT error 0x{code:02x}")
        self.code = code


class PairingRefusedError(LinkError):
    """Pairing or encryption failed, for example because of a wrong passkey."""
