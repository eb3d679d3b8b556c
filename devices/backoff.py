"""How long to wait before a port is tried again."""

import random

FIRST_NS = 50_000_000
"""ns. A USB adapter that resets is back after 100 ms to a few seconds; 50 ms loses least of the first case."""
CAP_NS = 5_000_000_000
"""ns. The longest a plugged-in device goes unnoticed. An opening that fails costs microseconds, but each is a lookup in
/dev or a connection attempt at a device server that others use too."""


class Backoff:
    """Waits that double from ``first_ns`` to ``cap_ns``, each shortened at random by up to half.

    The randomness keeps ten tags behind one device server that restarts from knocking in step.

    Parameters
    ----------
    rng : random.Random
        Injected, so that a run can be repeated.
    """

    def __init__(self, rng: random.Random, *, first_ns: int = FIRST_NS, cap_ns: int = CAP_NS) -> None:
        self._rng = rng
        self._first_ns = first_ns
        self._cap_ns = cap_ns
        self._next_ns = first_ns

    def next_ns(self) -> int:
        """Return the next wait."""
        wait_ns = self._next_ns
        self._next_ns = min(2 * wait_ns, self._cap_ns)
        return round(wait_ns * self._rng.uniform(0.5, 1.0))

    def reset(self) -> None:
        """Begin again with the shortest wait: the line has shown that it works."""
        self._next_ns = self._first_ns
