"""The desk: who is warned of what, and what the provider is told of it. Pure: same inputs, same outputs; time is data.

::

    bands of pairs, her tag's reports, its presence, gaps in cover  ->  PersonDesk  ->  Ask | Word | Answer | Step
                       receipts and losses of her tag's driver  ------------^
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from bridge.warning.hearing import DEFAULT_CALIBRATION, Hearing
from bridge.warning.person import PersonDesk
from bridge.warning.policy import WarningPolicy
from bridge.warning.records import Arrived, CoverGap, Delivered, Occasion, Outcome
from devices.rssi import Calibration
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt.messages import BandName, WarningStep
from protocols.reports import BeaconSighting, BeaconVerdict, TagEvent, TagEventKind, TagMode, TagState


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A protected person with a smart tag.

    ``beacon_wearer``: whose beacon her unit knows; empty: nobody's. ``calibration``: how strongly it hears it.
    """

    person: str
    smart_tag: str
    wearers: tuple[str, ...]
    beacon_wearer: str = ""
    calibration: Calibration = DEFAULT_CALIBRATION


def first_warn_id(epoch: str, person: str) -> int:
    """Where a start of the bridge begins to number: another one each time, the same in a replay of it."""
    return int.from_bytes(blake2b(f"{epoch}\n{person}".encode(), digest_size=2).digest())


class Desk:
    """All protected persons with a smart tag. Bounded by the configuration.

    Parameters
    ----------
    charges : iterable of Charge
    policy : WarningPolicy
    beacon_within_m, beacon_log_ratio : float
        See ``WarningSection``.
    epoch : str
        Name of this start of the bridge.
    """

    def __init__(
        self,
        charges: Iterable[Charge],
        policy: WarningPolicy,
        *,
        beacon_within_m: float,
        beacon_log_ratio: float,
        epoch: str,
    ) -> None:
        self._policy = policy
        self._hold_ns = policy.beacon_hold_ns
        self._within_m = beacon_within_m
        self._log_ratio = beacon_log_ratio
        self._epoch = epoch
        self._charges = {charge.smart_tag: charge for charge in charges}
        self._people = {charge.person: self._new_person(charge) for charge in self._charges.values()}
        self._hearings = {tag: self._new_hearing(charge) for tag, charge in self._charges.items()}

    def _new_person(self, charge: Charge) -> PersonDesk:
        return PersonDesk(
            charge.person,
            charge.smart_tag,
            charge.wearers,
            policy=self._policy,
            first_warn_id=first_warn_id(self._epoch, charge.person),
        )

    def _new_hearing(self, charge: Charge) -> Hearing:
        return Hearing(within_m=self._within_m, log_ratio=self._log_ratio, calibration=charge.calibration)

    def change_orders(self, charges: Iterable[Charge], on: Occasion) -> list[tuple[str, list[Outcome]]]:
        """Go on with other charges; says by person what follows, whose tags go first."""
        before, self._charges = self._charges, {charge.smart_tag: charge for charge in charges}
        now = {charge.person: charge for charge in self._charges.values()}
        left = [self._people.pop(person) for person in tuple(self._people) if person not in now]
        found = [(desk.person, desk.leave(on)) for desk in left]
        called = {desk.smart_tag for desk in left if desk.has_called}
        for person, charge in now.items():
            desk = self._people.get(person)
            if desk is None:
                desk = self._people[person] = self._new_person(charge)
                desk.start(on.now_mono_ns)
                found.append((person, desk.take_sos(True, on) if charge.smart_tag in called else []))
            elif desk.smart_tag != charge.smart_tag or set(desk.wearers) != set(charge.wearers):
                found.append((person, desk.change_order(charge.smart_tag, charge.wearers, on)))
        for tag, charge in self._charges.items():
            old = before.get(tag)
            if old is None or (old.beacon_wearer, old.calibration) != (charge.beacon_wearer, charge.calibration):
                self._hearings[tag] = self._new_hearing(charge)
        return found

    @property
    def people(self) -> Iterable[PersonDesk]:
        """Everybody who can be warned."""
        return self._people.values()

    def find(self, person: str) -> PersonDesk | None:
        """Look up who can be warned."""
        return self._people.get(person)

    def find_by_tag(self, device_id: str) -> PersonDesk | None:
        """Look up whose smart tag a device is."""
        charge = self._charges.get(device_id)
        return self._people[charge.person] if charge is not None else None

    def take_band(self, wearer: str, person: str, band: BandName, on: Occasion) -> list[Outcome]:
        """Take the band of a pair."""
        desk = self._people.get(person)
        return desk.take_band(wearer, band, on) if desk is not None else []

    def take_cover(self, person: str, gap: CoverGap, lost: bool, on: Occasion) -> list[Outcome]:
        """Take the beginning or the end of a gap in somebody's cover."""
        desk = self._people.get(person)
        return desk.take_cover(gap, lost, on) if desk is not None else []

    def take_provider(self, person: str, level: WarnLevel | None, text: WarnText, on: Occasion) -> list[Outcome]:
        """Take a warning that the provider asks for, or, with None, takes back."""
        desk = self._people.get(person)
        return desk.take_provider(level, text, on) if desk is not None else []

    def take_delivered(self, delivered: Delivered, on: Occasion) -> list[Outcome]:
        """Take what became of a warning."""
        desk = self._people.get(delivered.person)
        if desk is None:
            # Her order was withdrawn meanwhile.
            return []
        delivery = desk.delivery
        if isinstance(delivered, Arrived):
            return delivery.take_receipt(delivered, on)
        return delivery.take_loss(delivered.warn_id, delivered.loss, delivered.detail, on)

    def take_state(self, device_id: str, state: TagState, on: Occasion) -> list[Outcome]:
        """Take what a tag says of itself; it repeats what an event may have told already, or failed to tell."""
        desk = self.find_by_tag(device_id)
        if desk is None:
            return []
        found = desk.take_sos_state(state.sos, on)
        if state.warn_id is None or state.own_warning:
            return found
        match state.state:
            case TagMode.WARNING:
                found += desk.delivery.take_start(state.warn_id, on)
                found += desk.take_old_warning(state.warn_id, on)
            case TagMode.ACKNOWLEDGED:
                found += desk.delivery.take_answer(state.warn_id, on)
                found += desk.take_old_warning(state.warn_id, on)
            case _:
                pass
        return found

    def take_event(self, device_id: str, event: TagEvent, on: Occasion) -> list[Outcome]:
        """Take what happened at a tag, now or while nobody could hear it."""
        desk = self.find_by_tag(device_id)
        if desk is None:
            return []
        age_ns = event.age_ms * 1_000_000
        occurred_utc_ns = on.stamps.t_rx_utc_ns - age_ns
        match event.kind:
            case TagEventKind.WARN_STARTED:
                return desk.delivery.take_start(event.warn_id, on) if event.warn_id is not None else []
            case TagEventKind.WARN_ACKED:
                if event.warn_id is None:
                    return [desk.note(WarningStep.ACKNOWLEDGED, on, reason="the tag's own warning", age_ns=age_ns)]
                return desk.delivery.take_answer(event.warn_id, on)
            case TagEventKind.BUTTON:
                return desk.delivery.take_answer(None, on)
            case TagEventKind.SOS_PRESSED | TagEventKind.SOS_CANCELLED:
                pressed = event.kind is TagEventKind.SOS_PRESSED
                return desk.take_sos(pressed, on, occurred_utc_ns=occurred_utc_ns)
            case TagEventKind.OWN_WARNING_STARTED:
                step = desk.note(WarningStep.OWN_STARTED, on, reason="the tag hears the beacon", age_ns=age_ns)
                wearer = self._charges[device_id].beacon_wearer
                return [*desk.take_beacon(wearer, "her tag warned by itself", on, age_ns=age_ns), step]
            case TagEventKind.OWN_WARNING_ENDED:
                return [desk.note(WarningStep.OWN_ENDED, on, age_ns=age_ns)]
            case TagEventKind.COVER_LOST:
                return [desk.note(WarningStep.OWN_COVER_LOST, on, age_ns=age_ns)]
            case TagEventKind.REBOOTED | TagEventKind.KEYS_SET:
                # A tag that was restarted is written to again by its driver: the warning stands.
                return []

    def take_sighting(self, device_id: str, sighting: BeaconSighting, on: Occasion) -> list[Outcome]:
        """Take what a tag heard of a beacon. One that cannot be the wearer's brings nobody near.

        Of two senders with his key one may be his: she is warned as if it were, and the provider is told of both.
        """
        desk = self.find_by_tag(device_id)
        if desk is None:
            return []
        wearer = self._charges[device_id].beacon_wearer
        age_ns = sighting.age_ms * 1_000_000
        found: list[Outcome] = []
        if sighting.verdict in {BeaconVerdict.GENUINE, BeaconVerdict.CLONED}:
            # What was kept while nobody could hear the tag says nothing about now.
            recent = age_ns < self._hold_ns
            if recent and self._hearings[device_id].is_near(sighting, on.stamps.t_rx_mono_ns):
                found += desk.take_beacon(wearer, "her unit hears the beacon", on, age_ns=age_ns)
        if sighting.verdict in {BeaconVerdict.FORGED, BeaconVerdict.REPLAYED, BeaconVerdict.CLONED}:
            found += desk.take_forgery(wearer, sighting.verdict, on)
        return found

    def take_presence(self, device_id: str, present: bool, on: Occasion) -> list[Outcome]:
        """Take a tag's coming or going."""
        desk = self.find_by_tag(device_id)
        return desk.take_presence(present, on) if desk is not None else []

    def take_link(self, device_id: str, on: Occasion) -> list[Outcome]:
        """Take a connection that is up: what the tag lacks can be written now."""
        desk = self.find_by_tag(device_id)
        return desk.delivery.ask_again(on) if desk is not None else []
