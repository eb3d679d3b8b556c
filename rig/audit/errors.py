"""Errors of ``rig.audit``.

::

    AuditError (ValueError)   the records cannot be read, or what is asked of them makes no sense
"""


class AuditError(ValueError):
    """The records cannot be read, or what is asked makes no sense, for example a period that ends before it starts."""
