"""The judgement of a bridge again: its plan, its counters and its clock readings as they were, turn by turn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from bridge.commands.intervals import restore_intervals
from bridge.compose import Composer
from bridge.config.load import LoadedConfig
from bridge.identity import config_hash
from bridge.journal import StartLine, code_print, message_print
from bridge.orders.batch import restore_orders
from bridge.partition import find_part, restrict
from bridge.pipeline import Pipeline
from bridge.plan import Plan, make_plan
from bridge.publisher import Message
from bridge.silence import DeadlineWheel
from rig.replay.clock import RecordedClock
from rig.replay.journal_file import JournaledStart, Turn
from rig.replay.turns import Judge, do_turn, moment_of

MAX_DIFFERENCES = 20
"""Differences that are kept with their words: the first ones say why, the rest follows from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not as it was, in one turn of one start (both counted from 1)."""

    start: int
    turn: int
    do: str
    what: str

    def __str__(self) -> str:
        return f"start {self.start}, turn {self.turn} ({self.do}): {self.what}"


@dataclass(slots=True, kw_only=True)
class Judged:
    """What came of a replay.

    Attributes
    ----------
    messages : list of Message
        Every message that was made, in order.
    turns : int
    proven : int
        Messages with the print that the journal has of them.
    differences : list of Difference
        The first of them.
    n_differences : int
    cautions : list of str
        What makes a difference likely, or a comparison incomplete.
    """

    messages: list[Message] = field(default_factory=list)
    turns: int = 0
    proven: int = 0
    differences: list[Difference] = field(default_factory=list)
    n_differences: int = 0
    cautions: list[str] = field(default_factory=list)


class JudgedAgain:
    """Does the turns of all starts again.

    Parameters
    ----------
    loaded : LoadedConfig
        Of the run.
    starts : sequence of JournaledStart
    """

    def __init__(self, loaded: LoadedConfig, starts: Sequence[JournaledStart]) -> None:
        self._loaded = restrict(loaded, find_part(loaded))
        self._starts = starts
        self._plan: Plan | None = None
        self.result = Judged()

    @property
    def plan(self) -> Plan:
        """The plan of the configuration."""
        if self._plan is None:
            self._plan = make_plan(self._loaded, write_index=False)
        return self._plan

    def moments(self) -> list[int | None]:
        """When each turn was, on the monotonic clock of its start, for whoever paces them."""
        return [moment_of(turn)[0] for start in self._starts for turn in start.turns]

    def steps(self) -> "list[Callable[[], list[Message]]]":
        """List the turns as calls, in order; each returns the messages that it made."""
        found: list[Callable[[], list[Message]]] = []
        for number, start in enumerate(self._starts, start=1):
            again = _StartAgain(self, number, start.line)
            found += [again.step(turn) for turn in start.turns]
        return found

    def run(self) -> Judged:
        """Do all turns, as fast as they go."""
        for step in self.steps():
            step()
        return self.result

    def differs(self, start: int, turn: int, do: str, what: str) -> None:
        """Note a difference."""
        self.result.n_differences += 1
        if len(self.result.differences) < MAX_DIFFERENCES:
            self.result.differences.append(Difference(start=start, turn=turn, do=do, what=what))

    def note_start(self, line: StartLine, number: int) -> None:
        """Say so where a start ran under another configuration, or was judged by other code."""
        if line.code != code_print():
            self.result.cautions.append(
                f"start {number} was judged by other code than this (then {line.identity.version} {line.code}, now "
                f"{version('tagrig')} {code_print()}): what is not the same may be a change on purpose"
            )
        if line.config_hash != config_hash(self._loaded):
            self.result.cautions.append(
                f"start {number} ran under another configuration than bridge.toml has now (--set, or edited since)"
            )


class _StartAgain:
    """One start of the bridge, made when its first turn is done."""

    def __init__(self, owner: JudgedAgain, number: int, line: StartLine) -> None:
        self._owner = owner
        self._number = number
        self._line = line
        self._clock = RecordedClock()
        self._judge: Judge | None = None
        self._made: list[Message] = []
        self._turn: Turn | None = None

    def step(self, turn: Turn) -> Callable[[], list[Message]]:
        """Give a turn as a call."""
        return lambda: self._do(turn)

    def _do(self, turn: Turn) -> list[Message]:
        judge = self._judge or self._build()
        self._turn = turn
        self._made = []
        now_mono_ns, now_utc_ns = moment_of(turn)
        self._clock.begin(turn.mono, turn.utc, now_mono_ns=now_mono_ns, now_utc_ns=now_utc_ns)
        failed: str | None = None
        try:
            do_turn(turn, judge)
        except ExceptionGroup as exc:
            # The pipeline's own errors: then too, if it is the same bridge.
            failed = f"{type(exc).__name__}: {exc}"
        self._compare(turn, failed)
        result = self._owner.result
        result.turns += 1
        result.messages += self._made
        return self._made

    def _build(self) -> Judge:
        owner, line = self._owner, self._line
        owner.note_start(line, self._number)
        orders, _ = restore_orders(owner.plan, line.kept, line.t_utc_ns)
        composer = Composer(line.identity, line.kinds, sequences=line.sequences)
        wheel = DeadlineWheel()
        pipeline = Pipeline(
            plan=orders.plan,
            composer=composer,
            clock=self._clock,
            wheel=wheel,
            publish=self._take,
            on_alert=lambda _event: None,
            ask=lambda _ask: None,
            steer=lambda _steer: None,
        )
        restore_intervals(pipeline.views, line.kept)
        self._judge = Judge(
            base=owner.plan,
            plan=orders.plan,
            composer=composer,
            pipeline=pipeline,
            wheel=wheel,
            kept=line.kept,
            publish=self._take,
            differing=self._differs,
        )
        return self._judge

    def _take(self, message: Message) -> None:
        self._made.append(message)

    def _differs(self, what: str) -> None:
        assert self._turn is not None
        self._owner.differs(self._number, self._turn.n, self._turn.do, what)

    def _compare(self, turn: Turn, failed: str | None) -> None:
        if turn.is_cut:
            self._owner.result.cautions.append(
                f"start {self._number} died in turn {turn.n} ({turn.do}): what it read and said in it is not known, "
                f"{len(self._made)} messages of it cannot be compared"
            )
            return
        if failed != turn.failed:
            self._differs(f"ended by {turn.failed or 'no error'} then, by {failed or 'no error'} now")
        if self._clock.extra or self._clock.left:
            more, less = self._clock.extra, self._clock.left
            self._differs(f"the clock is read {more} times more and {less} times less than then")
        if len(turn.made) != len(self._made):
            self._differs(f"{len(turn.made)} messages then, {len(self._made)} now")
        for place, (then, now) in enumerate(zip(turn.made, self._made, strict=False), start=1):
            if message_print(now.topic, now.body) == then:
                self._owner.result.proven += 1
            else:
                self._differs(f"message {place}, for {now.topic}, is not the same")
