"""Sentences to epochs: everything that a receiver says about one moment, gathered until it is certain to be complete.

The rule. A sentence with a time of day opens an epoch or belongs to the open one. The open epoch closes

1. on its last sentence, once the receiver's cycle is learned (``cycle``);
2. else when a sentence carries another time of day, or a position that differs from the epoch's by more than 0.2 m and
   the rounding of its decimals (some chart plotters put one whole second on several positions);
3. else when a sentence without a time starts the next cycle: RMC, GGA, GLL or GNS a second time, or the sentence the
   epoch began with (receivers that send GSA before RMC);
4. on the tag's own status sentence;
5. when the driver says that the line is idle (``close``).

A sentence without a time belongs to the open epoch; between epochs it opens one, if the cycle begins with it. GSV never
holds an epoch open and is never lost: after the learned end it counts for the next epoch. A sentence of a moment that
is closed already is late: it is counted, the learned cycle is forgotten, and a position in it that the closed epoch did
not have becomes an epoch of its own, so that no position is lost. The same position at the same time once more, in a
sentence of the same talker and type, is an echo and ignored.
"""

from protocols.nmea.cycle import Key, LearnedCycle, Name
from protocols.nmea.fields import Position
from protocols.nmea.records import Claim, Ground, Kind, Moment, Noise, Sentence, Solution, View

_MAX_GROUPS = 64
"""GSV groups (talker and signal) and GSA sentences kept for one epoch. Twelve and five are the most seen; a peer that
sends nothing else must not fill the memory."""

_MAX_MESSAGES = 16
"""GSV messages in one group; the standard's message number has one digit."""


class Epoch:
    """What was gathered for one moment. Filled by ``Assembler``, read once it is closed."""

    __slots__ = (
        "claims",
        "day",
        "first_key",
        "ground",
        "last_key",
        "noise",
        "offset",
        "ordinals",
        "sequence",
        "solutions",
        "starts_timed",
        "stored",
        "time_of_day_ns",
        "views",
    )

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.time_of_day_ns: int | None = None
        self.day: int | None = None
        self.claims: list[Claim] = []
        self.solutions: list[Solution] = []
        self.views: dict[Name, list[View]] = {}
        self.noise: Noise | None = None
        self.ground: Ground | None = None
        self.first_key: Key | None = None
        self.last_key: Key | None = None
        self.starts_timed = False
        self.ordinals: dict[Name, int] = {}
        self.stored = False
        self.sequence: int | None = None

    def add(self, sentence: Sentence) -> None:
        """Gather one sentence."""
        if sentence.time_of_day_ns is not None:
            self.time_of_day_ns = sentence.time_of_day_ns
        match sentence:
            case View():
                self._add_view(sentence)
                return
            case Claim():
                self.claims.append(sentence)
                if sentence.day is not None:
                    self.day = sentence.day
            case Solution():
                if len(self.solutions) < _MAX_GROUPS:
                    self.solutions.append(sentence)
            case Ground():
                self.ground = sentence
            case Noise():
                self.noise = sentence
            case Moment():
                if self.day is None:
                    self.day = sentence.day
        name = (sentence.talker, sentence.kind.value)
        ordinal = self.ordinals.get(name, 0)
        self.ordinals[name] = ordinal + 1
        self.last_key = (*name, ordinal)
        if self.first_key is None:
            self.first_key = self.last_key
            self.starts_timed = sentence.time_of_day_ns is not None

    def _add_view(self, view: View) -> None:
        group = self.views.get((view.talker, view.signal_id))
        if group is None or view.is_first:
            if group is not None or len(self.views) < _MAX_GROUPS:
                self.views[view.talker, view.signal_id] = [view]
        elif len(group) < _MAX_MESSAGES:
            group.append(view)

    def has(self, sentence: Sentence) -> bool:
        """Return whether a sentence of this talker and type was gathered before."""
        return (sentence.talker, sentence.kind.value) in self.ordinals

    def contradicts(self, position: Position | None) -> bool:
        """Return whether this is a position, and one that an other position of the epoch cannot be."""
        return position is not None and any(
            claim.position is not None and not position.agrees_with(claim.position) for claim in self.claims
        )

    def gives(self, position: Position) -> bool:
        """Return whether one of the epoch's positions can be this one."""
        return any(claim.position is not None and position.agrees_with(claim.position) for claim in self.claims)


class Assembler:
    """Gathers sentences into epochs by the rule at the top of this file."""

    __slots__ = ("_closed", "_cycle", "_lead_trusted", "_open", "_skipping_lead", "_views", "late_sentences")

    def __init__(self) -> None:
        self.late_sentences = 0
        self._open: Epoch | None = None
        self._closed: Epoch | None = None
        self._views: dict[Name, list[View]] = {}
        self._cycle = LearnedCycle()
        self._lead_trusted = True
        self._skipping_lead = False

    @property
    def has_open_epoch(self) -> bool:
        """Whether an epoch is open that says something about the position already."""
        return self._open is not None and bool(self._open.claims)

    def add(self, sentence: Sentence, offset: int) -> list[Epoch]:
        """Gather a sentence; return the epochs that it closed."""
        if isinstance(sentence, Claim) and self._is_echo(sentence):
            return []
        closed: list[Epoch] = []
        repeated = False
        if self._open is not None:
            if self._is_of_another_moment(self._open, sentence):
                closed += self._close(teach=True)
            elif self._is_another_position(self._open, sentence):
                closed += self._close(teach=False)
                repeated = True
            elif self._begins_again(self._open, sentence):
                closed += self._close(teach=True)
                repeated = True
        if not repeated and self._is_late(sentence):
            self.late_sentences += 1
            return closed
        if sentence.kind is not Kind.GSV:
            self._skipping_lead = False
        if self._open is None:
            self._open = Epoch(offset)
            self._open.views = self._views
            self._views = {}
        self._open.add(sentence)
        if self._open.claims and sentence.kind is not Kind.GSV and self._open.last_key == self._cycle.last:
            closed += self._close(teach=True)
        return closed

    def close(self) -> list[Epoch]:
        """Take the line as idle: what is open is complete, what was begun without a claim belongs to the past."""
        if self._open is None:
            return []
        return self._close(teach=bool(self._open.claims))

    def close_with_status(self, time_of_day_ns: int | None, sequence: int, *, stored: bool) -> list[Epoch]:
        """Close on the tag's status sentence, which marks the epoch if both are of the same moment."""
        if self._open is None or not self._open.claims:
            if self._closed is not None and self._closed.time_of_day_ns == time_of_day_ns:
                self._cycle.forget()
            return []
        if self._open.time_of_day_ns in (None, time_of_day_ns):
            self._open.sequence = sequence
            self._open.stored = stored
        return self._close(teach=False)

    def _close(self, *, teach: bool) -> list[Epoch]:
        epoch = self._open
        self._open = None
        if epoch is None:
            return []
        if not epoch.claims:
            self._views = epoch.views
            return [epoch] if epoch.day is not None else []
        self._closed = epoch
        if teach and epoch.first_key is not None and epoch.last_key is not None:
            self._cycle.observe(epoch.first_key, epoch.last_key, epoch.time_of_day_ns)
        return [epoch]

    def _is_echo(self, claim: Claim) -> bool:
        """Return whether the newest epoch has this very position from such a sentence, at the same time."""
        epoch = self._open or self._closed
        return (
            epoch is not None
            and claim.time_of_day_ns is not None
            and claim.position is not None
            and claim.time_of_day_ns == epoch.time_of_day_ns
            and any(
                (other.kind, other.talker, other.position) == (claim.kind, claim.talker, claim.position)
                for other in epoch.claims
            )
        )

    @staticmethod
    def _is_of_another_moment(epoch: Epoch, sentence: Sentence) -> bool:
        return (
            sentence.time_of_day_ns is not None
            and epoch.time_of_day_ns is not None
            and sentence.time_of_day_ns != epoch.time_of_day_ns
        )

    @staticmethod
    def _is_another_position(epoch: Epoch, sentence: Sentence) -> bool:
        return isinstance(sentence, Claim) and epoch.contradicts(sentence.position)

    def _begins_again(self, epoch: Epoch, sentence: Sentence) -> bool:
        """Return whether the sentence is the cycle's next round: a claim repeated, or the sentence it began with."""
        if isinstance(sentence, Claim):
            # One without a time that came before the epoch had one may be the last round's: it is no earlier round.
            return any(
                (claim.talker, claim.kind) == (sentence.talker, sentence.kind)
                and (sentence.time_of_day_ns is None or claim.time_of_day_ns == epoch.time_of_day_ns)
                for claim in epoch.claims
            )
        name = (sentence.talker, sentence.kind.value)
        return (
            self._lead_trusted
            and sentence.time_of_day_ns is None
            and bool(epoch.claims)
            and not epoch.starts_timed
            and epoch.first_key is not None
            and epoch.last_key is not None
            and epoch.first_key[:2] == name
            and epoch.last_key[:2] != name
        )

    def _is_late(self, sentence: Sentence) -> bool:
        """Return whether the sentence belongs to the epoch closed last; unlearn the cycle if so."""
        closed = self._closed
        if closed is None or sentence.kind is Kind.GSV:
            return False
        if sentence.time_of_day_ns is None:
            return self._is_late_without_time(sentence)
        if (
            sentence.time_of_day_ns != closed.time_of_day_ns
            or (self._open is not None and self._open.time_of_day_ns is not None)
            or closed.has(sentence)
            or (isinstance(sentence, Claim) and sentence.position is not None and not closed.gives(sentence.position))
        ):
            return False
        self._cycle.forget()
        if self._open is not None and self._open.first_key is not None:
            # What began the next epoch came between two sentences of this one: it is no beginning.
            self._lead_trusted = False
        self._skipping_lead = True
        return True

    def _is_late_without_time(self, sentence: Sentence) -> bool:
        if self._open is not None or isinstance(sentence, Claim):
            return False
        if self._cycle.last is not None and not self._cycle.begins_with((sentence.talker, sentence.kind.value)):
            self._cycle.forget()
            self._skipping_lead = True
        return self._skipping_lead
