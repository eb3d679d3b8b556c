"""Errors of ``rig.replay``.

::

    RigError
      ReplayError (ValueError)   a run or a recording that cannot be replayed
"""

from rig.errors import RigError


class ReplayError(RigError, ValueError):
    """A run or a recording cannot be replayed, for example because its journal is of a newer format."""
