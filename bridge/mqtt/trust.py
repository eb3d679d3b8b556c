"""Whether a broker still has what it acknowledged; what is in doubt is sent again, also by the next start."""

from bridge.outbox.port import Outbox
from devices.clock import Clock


class SessionTrust:
    """Of one path. In doubt, on disk, from before a connection is begun until the broker has said whether it knows us.

    A broker that forgot us says so once: it makes a new session, and at the next connection it knows that one. Who is
    killed in between would else never learn of it.

    Parameters
    ----------
    number : int
        Of the path in the outbox.
    outbox : Outbox
    clock : Clock
    """

    def __init__(self, number: int, outbox: Outbox, clock: Clock) -> None:
        self._number = number
        self._outbox = outbox
        self._clock = clock
        self._is_inherited = outbox.is_in_doubt(number)
        self._is_unanswered = False

    def begin(self) -> None:
        """Take the doubt down: a connection is about to be made."""
        self._outbox.set_doubt(self._number, True, self._clock.mono_ns())

    def ask(self) -> None:
        """Note that the broker was asked for our session."""
        self._is_unanswered = True

    def answer(self, *, session_present: bool) -> int | None:
        """Take the broker's answer; give how many alerts are sent again, None: it knows us and did before."""
        again = None if session_present and not self._is_inherited else self.doubt()
        # Only now: what fails on the way leaves the doubt to the next start.
        self._is_inherited = self._is_unanswered = False
        self._end()
        return again

    def doubt(self) -> int:
        """Send again what the broker acknowledged and nobody confirmed, kept on disk; give how many alerts."""
        return self._outbox.forget_session(self._number, self._clock.mono_ns())

    def close(self) -> None:
        """Leave no doubt where there is none: no attempt got as far as the broker since it answered."""
        if not self._is_unanswered and not self._is_inherited:
            self._end()

    def _end(self) -> None:
        self._outbox.set_doubt(self._number, False, self._clock.mono_ns())
