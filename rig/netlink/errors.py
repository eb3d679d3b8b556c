"""Errors of ``rig.netlink``.

::

    RigError
      NetlinkError (OSError)    a namespace, a link or a packet filter could not be made
"""

from rig.errors import RigError


class NetlinkError(RigError, OSError):
    """A namespace, a link or a packet filter could not be made, for example without root."""
