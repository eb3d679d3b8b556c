"""Errors of ``rig``.

::

    RigError
      TrackError (ValueError)        a track file that describes no track
      EventError (ValueError)        a device event that is not understood, such as ``strap_cutt@45``
      ScenarioError (ValueError)     a scenario file that cannot be played
      PseudoTerminalError (OSError)  the emulator's port could not be made
      PkiError (ValueError)          a folder of test certificates that cannot be used
      FaultError (ValueError)        a fault that is not in the catalogue, or that this bench cannot bring about
      BenchBrokenError (RuntimeError)   the bench could not judge: a process died, a broker is missing
      RunFolderError (ValueError)    a folder that is not the folder of a run, or is damaged
"""


class RigError(Exception):
    """Root of this package's errors."""


class TrackError(RigError, ValueError):
    """A track file describes no track, for example a LineString with one point."""


class EventError(RigError, ValueError):
    """A device event is not understood, for example ``strap_cutt@45``."""


class ScenarioError(RigError, ValueError):
    """A scenario file cannot be played, for example one with two devices of the same id."""


class PseudoTerminalError(RigError, OSError):
    """The emulator's port could not be made, for example because a file stands where its link should go."""


class PkiError(RigError, ValueError):
    """A folder of test certificates cannot be used, for example because a key is there without its certificate."""


class FaultError(RigError, ValueError):
    """A fault is not in the catalogue or cannot be brought about here, for example one of the air without an air."""


class BenchBrokenError(RigError, RuntimeError):
    """The bench could not judge, for example because the bridge process died."""


class RunFolderError(RigError, ValueError):
    """A folder is not that of a run, or is damaged, for example because ``run.json`` is missing."""
