"""Errors of ``rig.audit``.

::

    RigError
      AuditError (ValueError)   the records cannot be read, or what is asked of them makes no sense
"""

from rig.errors import RigError


class AuditError(RigError, ValueError):
    """The records cannot be read, or what is asked makes no sense, for example a period that ends before it starts."""
