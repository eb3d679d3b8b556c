"""The watch over generated lives of a beacon: no alarm without an attack, none missed; and nothing links two slots.

A life has gaps, lost advertisements, several receivers that lag, repeats, new slots and restarts, by its seed.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.ble.ad import AdvertisementData, encode_ad
from protocols.ble.adverts import (
    COMPANY_ID,
    COUNTER_SPAN,
    SLOT_NS,
    Beacon,
    decode_beacon,
    decode_tag_advert,
    encode_beacon,
    encode_tag_advert,
    is_tag,
    slot_of,
)
from protocols.ble.beacon import COPY_NS, BeaconVerdict, BeaconWatch, Heard
from tests.protocols.ble.support import read

KEY = bytes(range(16))
START_UTC_NS = 1_980_000 * SLOT_NS + 123_456_789
SECOND_NS = 10**9
CLOCK_ERROR_S = 14 * 60
"""A tag's clock may be wrong by a slot, less the lateness of a copy."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Arrival:
    """One advertisement at one receiver."""

    t_ns: int
    sent_ns: int
    receiver: str
    data: bytes


def start_afar(dice: random.Random, counter: int) -> int:
    """Start at random, but not where one start in 90,000 does: within a slot's events of the last counter."""
    return (counter + 2**24 + dice.randrange(COUNTER_SPAN // 8)) % COUNTER_SPAN


def live(seed: int, *, duration_s: int = 2_000) -> list[Arrival]:
    """What receivers hear of one beacon over ``duration_s``, in the order in which it arrives."""
    dice = random.Random(seed)
    interval_ns = dice.choice([20, 100, 250, 1_000, 5_000]) * 10**6
    clock_error_ns = dice.randrange(-CLOCK_ERROR_S, CLOCK_ERROR_S) * SECOND_NS
    receivers = {f"radio{n}": dice.uniform(0.0, 0.9) for n in range(dice.randint(1, 3))}
    lag_s = {name: dice.choice([0.0, 0.1, 5.0, 29.0]) for name in receivers}
    hear_every = max(1, 2_000_000_000 // interval_ns)
    restarts_at = sorted(dice.uniform(0, duration_s) for _ in range(dice.choice([0, 0, 1, 5])))
    away = sorted(dice.uniform(0, duration_s) for _ in range(2)) if dice.random() < 0.5 else (0.0, 0.0)
    found = []
    slot = counter = -1
    t_ns = 0
    n = 0
    while t_ns < duration_s * SECOND_NS:
        if restarts_at and t_ns > restarts_at[0] * SECOND_NS:
            restarts_at.pop(0)
            t_ns += dice.randrange(1, 20) * SECOND_NS
            counter = start_afar(dice, counter)
        slot_now = slot_of(START_UTC_NS + clock_error_ns + t_ns)
        if slot_now > slot:
            slot, counter = slot_now, dice.randrange(COUNTER_SPAN)
        heard_here = n % hear_every < 2 and not away[0] <= t_ns / SECOND_NS < away[1]
        if heard_here:
            data = encode_beacon(KEY, slot=slot, counter=counter, strap_open=False, battery_pct=60)
            for receiver, loss in receivers.items():
                if dice.random() < loss:
                    continue
                lag_ns = int(dice.uniform(0, lag_s[receiver]) * SECOND_NS)
                found.append(Arrival(t_ns=t_ns + lag_ns, sent_ns=t_ns, receiver=receiver, data=data))
                if dice.random() < 0.05:
                    repeat_ns = t_ns + lag_ns + int(dice.uniform(0, COPY_NS - lag_ns))
                    found.append(Arrival(t_ns=repeat_ns, sent_ns=t_ns, receiver=receiver, data=data))
        counter = (counter + 1) % COUNTER_SPAN
        t_ns += interval_ns + dice.randrange(10_000_000)
        n += 1
    return sorted(found)


def hear(watch: BeaconWatch, arrival: Arrival) -> Heard:
    return watch.hear(
        read(decode_beacon, arrival.data),
        t_rx_utc_ns=START_UTC_NS + arrival.t_ns,
        t_rx_mono_ns=arrival.t_ns,
        rssi_dbm=-60,
        receiver=arrival.receiver,
    )


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_copies_repeats_losses_slots_and_restarts_are_no_attack(seed: int) -> None:
    watch = BeaconWatch(KEY)
    newest_sent_ns = -1
    for arrival in live(seed):
        heard = hear(watch, arrival)
        assert heard.verdict is BeaconVerdict.GENUINE, (arrival, heard)
        if heard.counter_step is not None and heard.counter_step > 0:
            assert arrival.sent_ns >= newest_sent_ns - COPY_NS
        newest_sent_ns = max(newest_sent_ns, arrival.sent_ns)


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_whatever_is_sent_again_late_is_told_and_is_no_sign_of_life(seed: int) -> None:
    """A thief records all that is heard and sends any of it again, later than a copy can be, in the tag's presence."""
    dice = random.Random(seed)
    arrivals = live(seed)
    watch = BeaconWatch(KEY)
    recorded: list[Arrival] = []
    n_replayed = 0
    for arrival in arrivals:
        hear(watch, arrival)
        recorded.append(arrival)
        old = [
            row for row in dice.sample(recorded, min(3, len(recorded))) if arrival.t_ns - row.t_ns > COPY_NS + SECOND_NS
        ]
        for row in old:
            again = Arrival(t_ns=arrival.t_ns, sent_ns=row.sent_ns, receiver="radio0", data=row.data)
            heard = hear(watch, again)
            assert heard.verdict is BeaconVerdict.REPLAYED, (again, heard)
            assert not heard.is_alive
            n_replayed += 1
    assert watch.counts.get(BeaconVerdict.REPLAYED, 0) == n_replayed
    assert BeaconVerdict.CLONED not in watch.counts, "a recording moves nothing: the tag itself stays genuine"


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_a_second_sender_with_the_key_is_told_within_a_minute_in_every_slot(seed: int) -> None:
    dice = random.Random(seed)
    watch = BeaconWatch(KEY)
    starts = {"tag": dice.randrange(COUNTER_SPAN)}
    starts["clone"] = (starts["tag"] + COUNTER_SPAN // 2 + dice.randrange(10**6)) % COUNTER_SPAN
    first_clone_s = dice.randrange(1, 400)
    told_s = None
    for second in range(800):
        for name, start in starts.items():
            if name == "clone" and second < first_clone_s:
                continue
            data = encode_beacon(
                KEY,
                slot=slot_of(START_UTC_NS),
                counter=(start + 4 * second) % COUNTER_SPAN,
                strap_open=False,
                battery_pct=60,
            )
            t_ns = second * SECOND_NS
            heard = hear(watch, Arrival(t_ns=t_ns, sent_ns=t_ns, receiver="radio0", data=data))
            if heard.verdict is BeaconVerdict.CLONED and told_s is None:
                told_s = second
            assert heard.verdict is (BeaconVerdict.GENUINE if told_s is None else BeaconVerdict.CLONED)
    assert told_s is not None
    assert told_s - first_clone_s <= 60


@given(st.binary(min_size=18, max_size=18), st.integers(0, 17), st.integers(1, 255))
@settings(max_examples=100)
def test_no_message_that_the_key_did_not_make_is_taken(junk: bytes, at: int, change: int) -> None:
    watch = BeaconWatch(KEY)
    slot = slot_of(START_UTC_NS)
    good = encode_beacon(KEY, slot=slot, counter=1, strap_open=False, battery_pct=60)
    damaged = bytearray(good)
    damaged[at] ^= change
    for data in (bytes(damaged), good[:1] + junk[1:], good[:9] + junk[9:]):
        found = decode_beacon(data)
        if isinstance(found, Beacon) and data != good:
            heard = watch.hear(found, t_rx_utc_ns=START_UTC_NS, t_rx_mono_ns=0)
            assert heard.verdict in (BeaconVerdict.STRANGER, BeaconVerdict.FORGED)


def tag_adverts(key: bytes, n_slots: int, dice: random.Random) -> Iterator[tuple[int, bytes]]:
    """Slot and whole advertising data of each advertisement of a protected person's tag."""
    for slot in range(1_980_000, 1_980_000 + n_slots):
        counter = dice.randrange(COUNTER_SPAN)
        for n in range(20):
            payload = encode_tag_advert(key, slot=slot, counter=(counter + n) % COUNTER_SPAN)
            yield slot, encode_ad(AdvertisementData(flags=6, manufacturer_data={COMPANY_ID: payload}))


def bits_that_differ(left: bytes, right: bytes) -> int:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).bit_count()


@pytest.mark.parametrize("seed", range(3))
def test_no_field_of_a_persons_tag_links_two_slots(seed: int) -> None:
    """Two persons over a day. All that is the same in two slots is the same for both; the rest is as random."""
    dice = random.Random(seed)
    people = [dice.randbytes(16) for _ in range(2)]
    heard = [list(tag_adverts(key, 96, dice)) for key in people]
    assert len({data[:8] for rows in heard for _, data in rows}) == 1, "flags, company and kind"
    assert {len(data) for rows in heard for _, data in rows} == {20}
    seen: list[list[tuple[bytes, bytes, bytes]]] = []
    for person, rows in enumerate(heard):
        slots: dict[int, tuple[bytes, bytes, bytes]] = {}
        for slot, data in rows:
            advert = read(decode_tag_advert, data[7:])
            assert is_tag(people[person], advert, slot * SLOT_NS)
            assert not is_tag(people[1 - person], advert, slot * SLOT_NS)
            counter = advert.counter.to_bytes(4, "big")
            first = slots.get(slot, (b"", counter, b""))[1]
            slots[slot] = (advert.rolling_id, first, counter)
        seen.append(list(slots.values()))
    ids = [pseudonym for rows in seen for pseudonym, _, _ in rows]
    assert len(set(ids)) == 192
    for left, right in ((0, 0), (1, 1), (0, 1)):
        pairs = [(a, b) for i, a in enumerate(seen[left]) for b in seen[right][i + 1 :]]
        assert mean(bits_that_differ(a[0], b[0]) for a, b in pairs) == pytest.approx(32, abs=0.5)
        assert mean(bits_that_differ(a[1], b[1]) for a, b in pairs) == pytest.approx(16, abs=0.5)


@pytest.mark.parametrize("seed", range(3))
def test_a_bystander_who_links_slots_by_what_is_nearest_guesses(seed: int) -> None:
    """Of two persons' next slots he takes the one that is likest to the last: by id, by counter that goes on."""
    dice = random.Random(seed)
    seen = []
    for key in (dice.randbytes(16), dice.randbytes(16)):
        slots: dict[int, list[tuple[bytes, int]]] = defaultdict(list)
        for slot, data in tag_adverts(key, 96, dice):
            advert = read(decode_tag_advert, data[7:])
            slots[slot].append((advert.rolling_id, advert.counter))
        seen.append(list(slots.values()))
    right = {"id": 0, "counter": 0}
    for person in range(2):
        for here, own_next, other_next in zip(seen[person], seen[person][1:], seen[1 - person][1:], strict=False):
            (pseudonym, counter) = here[-1]
            ways: dict[str, Callable[[list[tuple[bytes, int]]], int]] = {
                "id": lambda rows, last=pseudonym: bits_that_differ(rows[0][0], last),
                "counter": lambda rows, last=counter: (rows[0][1] - last) % COUNTER_SPAN,
            }
            for name, distance in ways.items():
                right[name] += distance(own_next) < distance(other_next)
    assert all(abs(n - 95) < 35 for n in right.values()), f"of 190 guesses: {right}"
