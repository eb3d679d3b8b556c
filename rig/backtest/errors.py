"""Errors of ``rig.backtest``.

::

    RigError
      HistoryError (ValueError)          an input that cannot be read as a history of fixes
      MissingExtraError (ImportError)    a package of an optional extra is not installed
      BenchBrokenError
        JudgeLostError                   worker processes or a cluster that did not finish their chunks
"""

from rig.errors import BenchBrokenError, RigError


class HistoryError(RigError, ValueError):
    """An input cannot be read as a history of fixes, for example a CSV file without a latitude column."""


class MissingExtraError(RigError, ImportError):
    """A package of an optional extra is missing, for example pyarrow of ``tagrig[backtest]``."""


class JudgeLostError(BenchBrokenError):
    """Chunks stay unjudged, for example because the worker process that held one was killed three times."""
