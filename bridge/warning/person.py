"""One protected person: what endangers her, what her tag is asked for, which alerts say so. Pure; time is data."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from bridge.alerts.withdrawn import ORDER_WITHDRAWN
from bridge.warning.delivery import STAND_DOWN, Delivery, Target
from bridge.warning.levels import BEACON_LEVEL, FIRST_OF_EQUALS, LEVEL_OF, TEXT_OF
from bridge.warning.policy import WarningPolicy
from bridge.warning.records import Ask, Cause, CauseKind, CoverGap, Occasion, Outcome, Step, Word
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt.messages import AlertKind, BandName, WarningStep
from protocols.reports import BeaconVerdict

STALE_STATE_NS = 15_000_000_000
"""ns. How long after she took a call back a state that still has it is taken for an older one: longer than a reading
may take to be answered, and than the tag waits before it tells its state again. A new press is an event of its own."""

_BY_PROVIDER = Cause(kind=CauseKind.PROVIDER)


class PersonDesk:
    """What is known of one protected person with a smart tag.

    Every call takes something that was shown and returns what is to be done, the writing of the tag first.

    Parameters
    ----------
    person, smart_tag : str
        Ids of her device (the reference of all messages) and of her tag.
    wearers : iterable of str
        From whom she is protected.
    policy : WarningPolicy
    first_warn_id : int
        See ``Delivery``.
    """

    def __init__(
        self, person: str, smart_tag: str, wearers: Iterable[str], *, policy: WarningPolicy, first_warn_id: int
    ) -> None:
        self.person = person
        self.smart_tag = smart_tag
        self._policy = policy
        self._delivery = Delivery(person, smart_tag, policy, first_warn_id)
        self._bands = dict.fromkeys(wearers, BandName.UNKNOWN)
        self._causes: dict[Cause, WarnLevel] = {}
        self._gaps: set[CoverGap] = set()
        self._grace_due: int | None = None
        self._settle_due: int | None = None
        self._beacon_due: dict[str, int] = {}
        self._forged_due: dict[str, int] = {}
        self._cancelled_mono_ns: int | None = None
        self._provider_text = WarnText.NONE

    @property
    def wearers(self) -> Collection[str]:
        """From whom she is protected."""
        return self._bands.keys()

    @property
    def target(self) -> Target | None:
        """What her tag was asked to show last."""
        return self._delivery.target

    @property
    def has_called(self) -> bool:
        """Whether her SOS stands."""
        return Cause(kind=CauseKind.SOS) in self._causes

    def next_due_mono_ns(self) -> int | None:
        """When ``take_due`` has something to do."""
        dues = (
            self._delivery.next_due_mono_ns(),
            self._grace_due,
            self._settle_due,
            *self._beacon_due.values(),
            *self._forged_due.values(),
        )
        return min((due for due in dues if due is not None), default=None)

    def start(self, now_mono_ns: int) -> None:
        """Begin: bands that are not known after the grace are lost cover."""
        if self._bands:
            self._grace_due = now_mono_ns + self._policy.start_grace_ns

    # What an earlier start knew

    def restore(
        self, alert: AlertKind, about: str, level: str | None, on: Occasion, *, is_located: bool
    ) -> list[Outcome]:
        """Take up an alert of hers that is raised; ``is_located``: nobody misses her place.

        Her tag is told again that she is not covered, for it may never have been; of all else only when it is shown
        anew: what endangered her then may be over, and of her own call she was told.
        """
        match alert:
            case AlertKind.SOS:
                self._causes[Cause(kind=CauseKind.SOS)] = WarnLevel.NOTICE
            case AlertKind.COVER_LOST:
                return self._restore_cover(level, on, is_located=is_located)
            case AlertKind.BEACON_HEARD:
                self._beacon_due[about] = on.now_mono_ns + self._policy.beacon_hold_ns
            case AlertKind.BEACON_FORGED:
                self._forged_due[about] = on.now_mono_ns + self._policy.forged_hold_ns
            case AlertKind.PROTECTED_PERSON_NOT_WARNED:
                self._delivery.restore_unwarned(about, level)
        return []

    def _restore_cover(self, level: str | None, on: Occasion, *, is_located: bool) -> list[Outcome]:
        """Take up the gaps that somebody will say the end of; without any, cover must only hold for a while."""
        named = (level or "").replace(CoverGap.WEARER_LOST, CoverGap.CANNOT_JUDGE).split("+")
        gaps = {gap for gap in CoverGap if gap in named}
        if is_located:
            gaps.discard(CoverGap.GNSS_LOST)
        if not self._bands:
            gaps.discard(CoverGap.CANNOT_JUDGE)
        self._gaps |= gaps
        if not self._gaps:
            self._settle_due = on.now_mono_ns + self._policy.cover_settle_ns
        return self._set(Cause(kind=CauseKind.COVER), WarnLevel.NOTICE, on)

    # What is ordered

    def change_order(self, smart_tag: str, wearers: Sequence[str], on: Occasion) -> list[Outcome]:
        """Go on with another tag, or protected from others. Her own call stays."""
        found: list[Outcome] = []
        gone = [wearer for wearer in self._bands if wearer not in wearers]
        fresh = [wearer for wearer in wearers if wearer not in self._bands]
        if smart_tag != self.smart_tag:
            found += self._delivery.stand_down(on)
            found += self._delivery.forget_all_unwarned("she has another tag", on)
            self.smart_tag = smart_tag
            self._delivery = Delivery(self.person, smart_tag, self._policy, self._delivery.next_id)
            wanted = self._wanted()
            found += self._delivery.aim(wanted, on) if wanted is not None else []
        for wearer in gone:
            del self._bands[wearer]
            self._beacon_due.pop(wearer, None)
            self._forged_due.pop(wearer, None)
        for wearer in gone:
            for kind in (CauseKind.PROXIMITY, CauseKind.BEACON):
                found += self._set(Cause(kind=kind, wearer=wearer), None, on)
        self._bands |= dict.fromkeys(fresh, BandName.UNKNOWN)
        if fresh:
            self.start(on.now_mono_ns)
        elif not self._bands:
            found += self._end_cover(on)
        elif BandName.UNKNOWN not in self._bands.values():
            self._grace_due = None
            found += self._regain_cover(CoverGap.CANNOT_JUDGE, on)
        return found

    def _end_cover(self, on: Occasion) -> list[Outcome]:
        """Where nobody is to be kept from her, no band and no place of hers is missed."""
        self._grace_due = None
        had = bool(self._gaps) or self._settle_due is not None
        self._gaps -= {CoverGap.CANNOT_JUDGE, CoverGap.GNSS_LOST, CoverGap.WEARER_LOST}
        if not had or self._gaps:
            return []
        self._settle_due = None
        found = self._set(Cause(kind=CauseKind.COVER), None, on)
        return [*found, self._word(AlertKind.COVER_LOST, False, ORDER_WITHDRAWN, on)]

    def leave(self, on: Occasion) -> list[Outcome]:
        """Go: her tag warns somebody else from now on, and a call that was made with it goes on there."""
        found = self._delivery.stand_down(on)
        if self._gaps or self._settle_due is not None:
            found.append(self._word(AlertKind.COVER_LOST, False, ORDER_WITHDRAWN, on))
        if self.has_called:
            found.append(self._word(AlertKind.SOS, False, "her tag was issued anew; the call goes on there", on))
        return found

    def take_provider(self, level: WarnLevel | None, text: WarnText, on: Occasion) -> list[Outcome]:
        """Take a warning that a person at the provider asks for; None: taken back, and what is still so stays."""
        if level is None:
            found = self._set(_BY_PROVIDER, None, on)
            # Also what an earlier start of the bridge asked for.
            return found or (self._delivery.aim(STAND_DOWN, on) if not self._causes else [])
        self._provider_text = text
        found = self._set(_BY_PROVIDER, level, on)
        wanted = self._wanted()
        if not any(isinstance(each, Ask) for each in found) and wanted is not None and wanted.cause == _BY_PROVIDER:
            # The same again: asked for by a person, so she is warned again.
            found += self._delivery.aim(wanted, on)
        return found

    # What is shown

    def take_band(self, wearer: str, band: BandName, on: Occasion) -> list[Outcome]:
        """Take the core's band of a pair."""
        before, self._bands[wearer] = self._bands[wearer], band
        if band is BandName.UNKNOWN:
            # Cover first: with the cause gone and nothing in its place, her tag would be told that all is well.
            found = self._lose_cover(CoverGap.CANNOT_JUDGE, on) if before is not BandName.UNKNOWN else []
            return found + self._set(Cause(kind=CauseKind.PROXIMITY, wearer=wearer), None, on)
        found = self._set(Cause(kind=CauseKind.PROXIMITY, wearer=wearer), LEVEL_OF.get(band), on)
        if BandName.UNKNOWN not in self._bands.values():
            self._grace_due = None
            found += self._regain_cover(CoverGap.CANNOT_JUDGE, on)
        return found

    def take_sos(self, pressed: bool, on: Occasion, *, occurred_utc_ns: int | None = None) -> list[Outcome]:
        """Take her call, or its end by her own hand."""
        if pressed is self.has_called:
            return []
        self._cancelled_mono_ns = None if pressed else on.now_mono_ns
        found = self._set(Cause(kind=CauseKind.SOS), WarnLevel.NOTICE if pressed else None, on)
        reason = "she has called for help" if pressed else "she has taken her call back"
        found.append(self._word(AlertKind.SOS, pressed, reason, on, occurred_utc_ns=occurred_utc_ns))
        return found

    def take_sos_state(self, called: bool, on: Occasion) -> list[Outcome]:
        """Take what her tag's state says of a call: it raises one whose press was not heard, and ends none.

        A state without it may be that of a tag that was restarted by force. One with it that was read before she took
        the call back may come after that.
        """
        if not called:
            self._cancelled_mono_ns = None
            return []
        cancelled = self._cancelled_mono_ns
        if cancelled is not None and on.now_mono_ns - cancelled < STALE_STATE_NS:
            return []
        return self.take_sos(True, on)

    def take_beacon(self, wearer: str, reason: str, on: Occasion, *, age_ns: int) -> list[Outcome]:
        """Take a genuine sighting of a wearer's beacon that is strong enough."""
        hold_ns = self._policy.beacon_hold_ns
        if age_ns >= hold_ns:
            return []
        was_heard = Cause(kind=CauseKind.BEACON, wearer=wearer) in self._causes
        self._beacon_due[wearer] = max(self._beacon_due.get(wearer, 0), on.now_mono_ns + hold_ns - age_ns)
        if was_heard:
            return []
        found = self._set(Cause(kind=CauseKind.BEACON, wearer=wearer), BEACON_LEVEL, on)
        occurred_utc_ns = on.stamps.t_rx_utc_ns - age_ns
        found.append(
            self._word(AlertKind.BEACON_HEARD, True, reason, on, about=wearer, occurred_utc_ns=occurred_utc_ns)
        )
        return found

    def take_forgery(self, wearer: str, verdict: BeaconVerdict, on: Occasion) -> list[Outcome]:
        """Take a sighting that claims to be a wearer's beacon and is not. It brings nobody near."""
        self._forged_due[wearer] = on.now_mono_ns + self._policy.forged_hold_ns
        name = verdict.name.lower()
        return [self._word(AlertKind.BEACON_FORGED, True, f"beacon {name}", on, about=wearer, level=name)]

    def take_cover(self, gap: CoverGap, lost: bool, on: Occasion) -> list[Outcome]:
        """Take the beginning or the end of a gap in her cover."""
        return self._lose_cover(gap, on) if lost else self._regain_cover(gap, on)

    def take_presence(self, present: bool, on: Occasion) -> list[Outcome]:
        """Take her tag's coming or going."""
        return self.take_cover(CoverGap.TAG_SILENT, not present, on)

    def take_old_warning(self, warn_id: int, on: Occasion) -> list[Outcome]:
        """Take back a warning of an earlier start of the bridge, once it is known that nothing endangers her."""
        judged = BandName.UNKNOWN not in self._bands.values()
        if self._delivery.knows(warn_id) or self.target is not None or self._causes or not judged:
            return []
        return self._delivery.aim(STAND_DOWN, on)

    @property
    def delivery(self) -> Delivery:
        """Where receipts, losses and acknowledgements go."""
        return self._delivery

    def take_due(self, on: Occasion) -> list[Outcome]:
        """Do what is due by now."""
        now = on.now_mono_ns
        found = self._delivery.take_due(on)
        if self._grace_due is not None and self._grace_due <= now:
            self._grace_due = None
            found += self._lose_cover(CoverGap.CANNOT_JUDGE, on)
        if self._settle_due is not None and self._settle_due <= now:
            self._settle_due = None
            found += self._set(Cause(kind=CauseKind.COVER), None, on)
            found.append(self._word(AlertKind.COVER_LOST, False, "she is covered again", on))
        for wearer in [name for name, due in self._beacon_due.items() if due <= now]:
            del self._beacon_due[wearer]
            found += self._set(Cause(kind=CauseKind.BEACON, wearer=wearer), None, on)
            quiet_s = self._policy.beacon_hold_ns / 1e9
            reason = f"the beacon was not heard near her for {quiet_s:g} s"
            found.append(self._word(AlertKind.BEACON_HEARD, False, reason, on, about=wearer))
        for wearer in [name for name, due in self._forged_due.items() if due <= now]:
            del self._forged_due[wearer]
            quiet_s = self._policy.forged_hold_ns / 1e9
            reason = f"no such beacon for {quiet_s:g} s"
            found.append(self._word(AlertKind.BEACON_FORGED, False, reason, on, about=wearer))
        return found

    def note(
        self,
        step: WarningStep,
        on: Occasion,
        *,
        reason: str = "",
        age_ns: int | None = None,
        warn_id: int | None = None,
    ) -> Step:
        """Something that her tag did by itself."""
        return Step(
            person=self.person,
            smart_tag=self.smart_tag,
            step=step,
            on=on,
            reason=reason,
            age_ns=age_ns,
            warn_id=warn_id,
            t_rx_mono_ns=on.stamps.t_rx_mono_ns,
        )

    # What follows

    def _set(self, cause: Cause, level: WarnLevel | None, on: Occasion) -> list[Outcome]:
        """Note a cause's level, None: it is gone; then ask for what is right now if that changed.

        A second wearer who comes as near as the first is a warning of its own.
        """
        before = self._causes.pop(cause, None)
        if level is not None:
            self._causes[cause] = level
        found: list[Outcome] = []
        aimed, wanted = self._delivery.target, self._wanted()
        if wanted is None:
            if aimed is not None and aimed.level is not WarnLevel.STAND_DOWN:
                found = self._delivery.aim(STAND_DOWN, on)
            found += self._delivery.forget_all_unwarned("nothing to warn of any more", on)
        elif aimed is None or not wanted.is_like(aimed):
            found = self._delivery.aim(wanted, on)
        elif level is not None and (before is None or level > before):
            if cause.kind is CauseKind.SOS:
                # Heard, in the way of a call: no sound. What stands stays.
                found = self._delivery.aim(replace(aimed, cause=cause), on)
            elif level >= aimed.level and cause.wearer not in {"", aimed.cause.wearer}:
                found = self._delivery.aim(Target(level=level, text=self._text_of(cause), cause=cause), on)
        elif aimed.cause not in self._causes:
            self._delivery.relabel(wanted)
        if level is None and not self._endangers(cause.wearer):
            found += self._delivery.forget_unwarned(cause.wearer, "nothing to warn of any more", on)
        return found

    def _endangers(self, wearer: str) -> bool:
        """Whether there still is a cause about a wearer (empty: her own call), or his band is not known."""
        if any(cause.wearer == wearer and cause.kind is not CauseKind.COVER for cause in self._causes):
            return True
        return self._bands.get(wearer) is BandName.UNKNOWN

    def _wanted(self) -> Target | None:
        """Find the strongest of all causes; of equals what says most, then the one that stands longest."""
        if not self._causes:
            return None
        cause, level = max(self._causes.items(), key=lambda item: (item[1], -FIRST_OF_EQUALS.index(item[0].kind)))
        return Target(level=level, text=self._text_of(cause), cause=cause)

    def _text_of(self, cause: Cause) -> WarnText:
        return self._provider_text if cause.kind is CauseKind.PROVIDER else TEXT_OF[cause.kind]

    def _lose_cover(self, gap: CoverGap, on: Occasion) -> list[Outcome]:
        self._settle_due = None
        if gap in self._gaps:
            return []
        self._gaps.add(gap)
        found = self._set(Cause(kind=CauseKind.COVER), WarnLevel.NOTICE, on)
        return [*found, self._cover_word(on)]

    def _regain_cover(self, gap: CoverGap, on: Occasion) -> list[Outcome]:
        if gap not in self._gaps:
            return []
        self._gaps.discard(gap)
        if self._gaps:
            return [self._cover_word(on)]
        self._settle_due = on.now_mono_ns + self._policy.cover_settle_ns
        return []

    def _cover_word(self, on: Occasion) -> Word:
        gaps = [gap for gap in CoverGap if gap in self._gaps]
        return self._word(AlertKind.COVER_LOST, True, f"cover lost: {', '.join(gaps)}", on, level="+".join(gaps))

    def _word(
        self,
        kind: AlertKind,
        raised: bool,
        reason: str,
        on: Occasion,
        *,
        about: str = "",
        level: str | None = None,
        occurred_utc_ns: int | None = None,
    ) -> Word:
        return Word(
            person=self.person,
            kind=kind,
            raised=raised,
            reason=reason,
            on=on,
            about=about,
            level=level,
            occurred_utc_ns=occurred_utc_ns,
        )
