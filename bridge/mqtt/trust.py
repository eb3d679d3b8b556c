"""Whether a broker still has what it acknowledged; what is in doubt is sent again, also by the next start."""

from bridge.outbox.port import Outbox
from devices.clock import Clock

CHECK_NS = 1_000_000_000
"""How often it is asked whether all that was sent again has arrived; a crash until then sends it once more."""


class SessionTrust:
    """Of one path. In doubt from before a connection is begun until the broker knows us, or has got again what is due.

    Parameters
    ----------
    number : int
        Of the path in the outbox.
    outbox : Outbox
    clock : Clock

    Attributes
    ----------
    is_owed : bool
        Alerts wait to be sent again.
    """

    def __init__(self, number: int, outbox: Outbox, clock: Clock) -> None:
        self._number = number
        self._outbox = outbox
        self._clock = clock
        self._is_inherited = outbox.is_in_doubt(number)
        self._is_unanswered = False
        self.is_owed = False
        self._check_mono_ns = 0

    def begin(self) -> None:
        """Take the doubt down: a connection is about to be made."""
        self._outbox.set_doubt(self._number, True, self._clock.mono_ns())

    def ask(self) -> None:
        """Note that the broker was asked for our session."""
        self._is_unanswered = True

    def answer(self, *, session_present: bool) -> int | None:
        """Take the broker's answer; give how many alerts are sent again, None: it knows us and did before."""
        self._is_unanswered = False
        if session_present and not self._is_inherited:
            self._settle()
            return None
        return self.doubt()

    def doubt(self) -> int:
        """Send again what the broker acknowledged and nobody confirmed; give how many alerts."""
        now = self._clock.mono_ns()
        self._outbox.set_doubt(self._number, True, now)
        again = self._outbox.forget_session(self._number, now)
        # Only now: what fails on the way leaves the doubt to the next start.
        self._is_inherited = False
        self.is_owed |= again > 0
        self._settle()
        return again

    def check(self) -> None:
        """End the doubt once nothing that is owed waits any more; call it with no alert in flight."""
        now = self._clock.mono_ns()
        if now >= self._check_mono_ns:
            self._check_mono_ns = now + CHECK_NS
            self.is_owed = self._outbox.depths().paths[self._number].alerts > 0
            self._settle()

    def close(self) -> None:
        """Leave no doubt where there is none: no attempt got as far as the broker since it answered."""
        if not self._is_unanswered:
            self._settle()

    def _settle(self) -> None:
        if not self.is_owed and not self._is_inherited:
            self._outbox.set_doubt(self._number, False, self._clock.mono_ns())
