"""Errors of ``rig.bench``.

::

    RigError
      BenchFileError (ValueError)       a bench file that describes no bench
      RoleAbsentError (LookupError)     a scenario or a test needs a role that the bench has not
      BenchBrokenError
        LeaseBusyError (BlockingIOError)  somebody else has the hardware
        LeaseLostError                    it was taken by somebody else meanwhile
        PowerError (OSError)              a switch did not switch, or a port did not come back
        FirmwareMismatchError             a device runs other firmware than the bench file expects
        FlashError                        a flashing command failed, or the version after it is not the one wanted
"""

from rig.errors import BenchBrokenError, RigError


class BenchFileError(RigError, ValueError):
    """A bench file describes no bench, for example ``[devices.offender]`` without a transport."""


class RoleAbsentError(RigError, LookupError):
    """A scenario or a test needs a role that the bench has not, for example a second ``victim``."""


class LeaseBusyError(BenchBrokenError, BlockingIOError):
    """Somebody else has the hardware, for example another job on the same adapter."""


class LeaseLostError(BenchBrokenError):
    """Somebody else took the hardware meanwhile, for example after this process was stopped for longer than a lease."""


class PowerError(BenchBrokenError, OSError):
    """A switch did not switch, or a port did not come back after it, for example a relay on the wrong socket."""


class FirmwareMismatchError(BenchBrokenError):
    """A device runs other firmware than the bench file expects, or does not say what it runs."""


class FlashError(BenchBrokenError):
    """A flashing command failed, or the device does not run what was flashed."""
