"""The warning that stands at one tag: asked, written, started, acknowledged, or lost; and what is owed when it is."""

from collections import OrderedDict
from dataclasses import dataclass

from bridge.warning.policy import RETRY_LAST_NS, WarningPolicy
from bridge.warning.records import Answer, Arrived, Ask, Cause, CauseKind, Occasion, Outcome, Step, Word
from devices.errors import WarnLoss
from protocols.ble.smart_tag import WarnCommand, WarnLevel, WarnPattern, WarnText
from protocols.mqtt.messages import AlertKind, WarningStep

MAX_REMEMBERED = 8
"""Warnings whose late receipts and acknowledgements are still understood. More than a tag can have under way: the
driver holds one, the tag shows one, the others were overtaken."""

WARN_IDS = 1 << 16
"""Ids fit the two bytes that the tag keeps of them."""

_CAN_WAIT = frozenset({CauseKind.COVER, CauseKind.OVER})
"""Causes without danger at hand: losing them is no alert of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What her tag should show."""

    level: WarnLevel
    text: WarnText
    cause: Cause

    def is_like(self, other: "Target") -> bool:
        """Whether both look the same to her."""
        return (self.level, self.text) == (other.level, other.text)

    @property
    def wants_answer(self) -> bool:
        """Whether the person is expected to press the button: a notice is for her eyes only."""
        return self.level >= WarnLevel.ALARM


STAND_DOWN = Target(level=WarnLevel.STAND_DOWN, text=WarnText.STAND_DOWN, cause=Cause(kind=CauseKind.OVER))


@dataclass(slots=True, kw_only=True)
class _Issued:
    """A warning with its number and how far it came. Repeats and retries of one target are one ``series``."""

    warn_id: int
    series: int
    target: Target
    repeat: int
    t_rx_mono_ns: int
    t_asked_mono_ns: int
    t_written_mono_ns: int | None = None
    t_started_mono_ns: int | None = None
    t_acknowledged_mono_ns: int | None = None
    is_unconfirmed: bool = False
    is_lost: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether the driver has said what became of it."""
        return self.t_started_mono_ns is not None or self.is_unconfirmed or self.is_lost


class Delivery:
    """Brings one target at a time to one tag.

    Parameters
    ----------
    person, smart_tag : str
        Ids of the protected person's device and of her tag.
    policy : WarningPolicy
    first_warn_id : int
        Where ids begin. Another one after each start of the bridge, so that the tag does not take a new warning for
        one that it has shown already.
    """

    def __init__(self, person: str, smart_tag: str, policy: WarningPolicy, first_warn_id: int) -> None:
        self._person = person
        self._smart_tag = smart_tag
        self._policy = policy
        self._next_id = first_warn_id % WARN_IDS
        self._known: OrderedDict[int, _Issued] = OrderedDict()
        self._current: _Issued | None = None
        self._owed: dict[str, WarnLevel] = {}
        self._unwarned: dict[str, WarnLevel] = {}
        self._confirm_due: int | None = None
        self._answer_due: int | None = None
        self._repeat_due: int | None = None
        self._retry_due: int | None = None
        self._retries = 0
        self._series = 0
        self._is_told_unanswered = False
        self._is_answered = False

    @property
    def target(self) -> Target | None:
        """What was asked last; None: nothing since the start."""
        return self._current.target if self._current is not None else None

    @property
    def next_id(self) -> int:
        """Where the ids of a tag that takes this one's place begin."""
        return self._next_id

    @property
    def warn_id(self) -> int | None:
        """What was asked last, by its number."""
        return self._current.warn_id if self._current is not None else None

    def next_due_mono_ns(self) -> int | None:
        """When to look again by itself."""
        dues = (self._confirm_due, self._answer_due, self._repeat_due, self._retry_due)
        return min((due for due in dues if due is not None), default=None)

    def aim(self, target: Target, on: Occasion) -> list[Outcome]:
        """Ask for a new target."""
        self._answer_due = None
        self._retries = 0
        self._is_told_unanswered = False
        self._is_answered = False
        self._series += 1
        return self._ask(target, on, repeat=0)

    def stand_down(self, on: Occasion) -> list[Outcome]:
        """Take back what her tag shows, if it was asked to show anything."""
        target = self.target
        return self.aim(STAND_DOWN, on) if target is not None and target.level is not WarnLevel.STAND_DOWN else []

    def restore_unwarned(self, wearer: str, level: str | None) -> None:
        """Take up that an earlier start could not warn her; it is over as if this one could not."""
        self._unwarned[wearer] = next((each for each in WarnLevel if each.name.lower() == level), WarnLevel.NOTICE)

    def relabel(self, target: Target) -> None:
        """Note that what she is shown has another cause now: the one that it was asked for is gone."""
        if self._current is not None:
            self._current.target = target

    def ask_again(self, on: Occasion) -> list[Outcome]:
        """Ask for the same once more if it was lost: the tag can be written to now.

        The driver writes what stands by itself after a reconnect; asked anew, somebody waits for what becomes of it.
        """
        issued = self._current
        if issued is None or not issued.is_lost:
            return []
        return self._ask(issued.target, on, repeat=issued.repeat)

    def _ask(self, target: Target, on: Occasion, *, repeat: int) -> list[Outcome]:
        self._next_id = self._next_id % (WARN_IDS - 1) + 1
        issued = _Issued(
            warn_id=self._next_id,
            series=self._series,
            target=target,
            repeat=repeat,
            t_rx_mono_ns=on.stamps.t_rx_mono_ns,
            t_asked_mono_ns=on.now_mono_ns,
        )
        due_mono_ns = on.now_mono_ns + self._policy.confirm_limit_ns
        if self._confirm_due is not None and self._is_danger(self._current) and self._is_danger(issued):
            # She waits since the first of them: warnings that overtake each other must not put off the news of it.
            due_mono_ns = min(due_mono_ns, self._confirm_due)
        if self._is_danger(issued):
            self._owed[target.cause.wearer] = target.level
        self._current = self._known[issued.warn_id] = issued
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        self._confirm_due = due_mono_ns
        self._repeat_due = self._retry_due = None
        command = WarnCommand(
            warn_id=issued.warn_id, level=target.level, pattern=self._pattern(target), text=target.text
        )
        return [
            Ask(person=self._person, smart_tag=self._smart_tag, command=command),
            self._step(issued, WarningStep.ASKED, on),
        ]

    @staticmethod
    def _is_danger(issued: _Issued | None) -> bool:
        return issued is not None and issued.target.cause.kind not in _CAN_WAIT

    def _pattern(self, target: Target) -> WarnPattern:
        match target.cause.kind:
            case CauseKind.SOS:
                return self._policy.sos_pattern
            case CauseKind.COVER:
                return self._policy.cover_pattern
            case _:
                return self._policy.patterns[target.level]

    # What becomes of it

    def take_receipt(self, arrived: Arrived, on: Occasion) -> list[Outcome]:
        """Note that the tag has a warning: the one asked for, or one that took its place."""
        asked, issued = self._known.get(arrived.asked_warn_id), self._known.get(arrived.warn_id)
        found: list[Outcome] = []
        if asked is not None and asked is not issued and not asked.is_settled:
            asked.is_lost = True
            found.append(self._step(asked, WarningStep.SUPERSEDED, on, reason="a newer warning took its place"))
        if issued is None:
            return found
        if issued.t_written_mono_ns is None:
            issued.t_written_mono_ns = arrived.t_written_mono_ns
            found.append(self._step(issued, WarningStep.WRITTEN, on))
        if arrived.confirmed:
            started = on.now_mono_ns if arrived.t_started_mono_ns is None else arrived.t_started_mono_ns
            return found + self._start(issued, started, on)
        if not issued.is_settled:
            issued.is_unconfirmed = True
            found.append(self._step(issued, WarningStep.UNCONFIRMED, on, reason="this tag has no way to answer"))
            self._has_arrived(issued, on)
        return found

    def take_start(self, warn_id: int, on: Occasion) -> list[Outcome]:
        """Note the tag's own word that it warns."""
        issued = self._known.get(warn_id)
        return self._start(issued, on.stamps.t_rx_mono_ns, on) if issued is not None else []

    def _start(self, issued: _Issued, t_started_mono_ns: int, on: Occasion) -> list[Outcome]:
        if issued.t_started_mono_ns is not None:
            return []
        issued.t_started_mono_ns = t_started_mono_ns
        issued.is_lost = False
        over = issued.target.level is WarnLevel.STAND_DOWN
        step = WarningStep.STOOD_DOWN if over else WarningStep.STARTED
        found: list[Outcome] = [self._step(issued, step, on)]
        self._has_arrived(issued, on)
        if not over and issued is self._current:
            # An older one says less than what she should know by now.
            found += self.forget_all_unwarned("the tag warns", on)
        return found

    def _has_arrived(self, issued: _Issued, on: Occasion) -> None:
        current = self._current
        if current is not None and issued is not current:
            if self._is_danger(issued):
                # Warned of this, she waits for the newer one only, and since that was asked.
                if self._owed.get(issued.target.cause.wearer, issued.target.level) <= issued.target.level:
                    self._owed.pop(issued.target.cause.wearer, None)
                if self._confirm_due is not None:
                    self._confirm_due = current.t_asked_mono_ns + self._policy.confirm_limit_ns
            return
        self._owed.clear()
        self._confirm_due = self._retry_due = None
        self._retries = 0
        if not issued.target.wants_answer or self._is_answered:
            return
        if issued.repeat < self._policy.max_repeats:
            self._repeat_due = on.now_mono_ns + self._policy.repeat_ns
        if self._answer_due is None and not self._is_told_unanswered and not issued.is_unconfirmed:
            self._answer_due = on.now_mono_ns + self._policy.acknowledge_limit_ns

    def take_answer(self, warn_id: int | None, on: Occasion) -> list[Outcome]:
        """Note that the person pressed the button; None: of a tag that cannot say for which warning."""
        current = self._current
        if warn_id is None:
            issued = current if current is not None and current.is_unconfirmed else None
        else:
            issued = self._known.get(warn_id)
        if issued is None or issued.t_acknowledged_mono_ns is not None:
            return []
        found = self._start(issued, on.stamps.t_rx_mono_ns, on) if warn_id is not None else []
        issued.t_acknowledged_mono_ns = on.stamps.t_rx_mono_ns
        found.append(self._step(issued, WarningStep.ACKNOWLEDGED, on))
        if issued.series == self._series:
            self._is_answered = True
            self._answer_due = self._repeat_due = None
            if self._is_told_unanswered:
                self._is_told_unanswered = False
                found.append(self._answer(issued, "acknowledged", "she has acknowledged", on))
        return found

    def take_loss(self, warn_id: int, loss: WarnLoss, detail: str, on: Occasion) -> list[Outcome]:
        """Note that the driver gave a warning up."""
        issued = self._known.get(warn_id)
        if issued is None or issued.t_started_mono_ns is not None or issued.is_unconfirmed:
            return []
        issued.is_lost = True
        if issued is not self._current:
            return [self._step(issued, WarningStep.SUPERSEDED, on, reason="a newer warning took its place")]
        found: list[Outcome] = [self._step(issued, WarningStep.LOST, on, reason=f"{loss}: {detail}")]
        found += self._not_warned(issued, f"warning lost: {loss}", on)
        self._confirm_due = None
        wait_ns = min(RETRY_LAST_NS, self._policy.retry_ns << min(self._retries, 16))
        if loss is not WarnLoss.OUT_OF_RANGE:
            # One that is out of range is asked again when its connection is up.
            self._retry_due = on.now_mono_ns + wait_ns
            self._retries += 1
        return found

    def is_current(self, warn_id: int | None) -> bool:
        """Whether this is what was asked last."""
        return self._current is not None and self._current.warn_id == warn_id

    def knows(self, warn_id: int) -> bool:
        """Whether this start of the bridge asked for a warning, lately."""
        return warn_id in self._known

    # Alerts

    def _not_warned(self, issued: _Issued, reason: str, on: Occasion) -> list[Outcome]:
        """Tell of everybody whom she should know of and does not: a warning may have taken another's place."""
        if not self._is_danger(issued):
            return []
        self._unwarned |= self._owed
        return [
            Word(
                person=self._person,
                kind=AlertKind.PROTECTED_PERSON_NOT_WARNED,
                raised=True,
                reason=reason,
                on=on,
                about=wearer,
                level=level.name.lower(),
            )
            for wearer, level in self._owed.items()
        ]

    def forget_all_unwarned(self, reason: str, on: Occasion) -> list[Outcome]:
        """Clear "not warned" about everybody."""
        return [word for wearer in tuple(self._unwarned) for word in self.forget_unwarned(wearer, reason, on)]

    def forget_unwarned(self, wearer: str, reason: str, on: Occasion) -> list[Outcome]:
        """Clear "not warned" about a wearer: she is warned now, or there is nothing to warn of."""
        self._owed.pop(wearer, None)
        level = self._unwarned.pop(wearer, None)
        if level is None:
            return []
        return [
            Word(
                person=self._person,
                kind=AlertKind.PROTECTED_PERSON_NOT_WARNED,
                raised=False,
                reason=reason,
                on=on,
                about=wearer,
                level=level.name.lower(),
            )
        ]

    # Deadlines

    def take_due(self, on: Occasion) -> list[Outcome]:
        """Do what is due."""
        now, issued = on.now_mono_ns, self._current
        found: list[Outcome] = []
        if issued is None:
            return found
        if self._confirm_due is not None and self._confirm_due <= now:
            self._confirm_due = None
            limit_s = self._policy.confirm_limit_ns / 1e9
            found += self._not_warned(issued, f"no word from the tag within {limit_s:g} s", on)
        if self._answer_due is not None and self._answer_due <= now:
            self._answer_due = None
            limit_s = self._policy.acknowledge_limit_ns / 1e9
            reason = f"she has not pressed the button within {limit_s:g} s"
            self._is_told_unanswered = True
            found.append(self._step(issued, WarningStep.NOT_ACKNOWLEDGED, on, reason=reason))
            found.append(self._answer(issued, "not_acknowledged", reason, on))
        if self._retry_due is not None and self._retry_due <= now:
            self._retry_due = None
            found += self._ask(issued.target, on, repeat=issued.repeat)
        elif self._repeat_due is not None and self._repeat_due <= now:
            self._repeat_due = None
            found += self._ask(issued.target, on, repeat=issued.repeat + 1)
        return found

    def _answer(self, issued: _Issued, level: str, reason: str, on: Occasion) -> Answer:
        return Answer(person=self._person, wearer=issued.target.cause.wearer, level=level, reason=reason, on=on)

    def _step(self, issued: _Issued, step: WarningStep, on: Occasion, *, reason: str = "") -> Step:
        return Step(
            person=self._person,
            smart_tag=self._smart_tag,
            step=step,
            on=on,
            warn_id=issued.warn_id,
            level=issued.target.level,
            text=issued.target.text,
            cause=issued.target.cause,
            repeat=issued.repeat,
            reason=reason,
            t_rx_mono_ns=issued.t_rx_mono_ns,
            t_asked_mono_ns=issued.t_asked_mono_ns,
            t_written_mono_ns=issued.t_written_mono_ns,
            t_started_mono_ns=issued.t_started_mono_ns,
            t_acknowledged_mono_ns=issued.t_acknowledged_mono_ns,
        )
