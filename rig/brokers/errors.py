"""Errors of ``rig.brokers``.

::

    RigError
      BrokerProcessError (RuntimeError)   a broker on the bench did not start, or does not run
        NoLeaderError (TimeoutError)      a cluster did not agree on a leader in time
"""

from rig.errors import RigError


class BrokerProcessError(RigError, RuntimeError):
    """A broker on the bench did not start, or does not run, for example because its port is taken."""


class NoLeaderError(BrokerProcessError, TimeoutError):
    """A cluster did not agree on a leader in time, for example because two of its three nodes are down."""
