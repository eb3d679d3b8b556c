"""Devices shared out among bridges: everybody by one, those who belong together by the same, few moved by a change."""

import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config.load import LoadedConfig, load_config
from bridge.errors import ConfigError
from bridge.partition import NO_ORDER, Networks, Part, choose, find_part, instance_name, parse_part, restrict
from bridge.plan import make_plan
from tests.bridge.support import ZONES_JSON

HEAD = '[broker]\nurl = "mqtt://127.0.0.1:1883"\n'


def device(name: str, role: str = "wearer") -> str:
    return f'[[device]]\nid = "{name}"\ntransport = "socket://127.0.0.1:{1 + zlib.crc32(name.encode()) % 60_000}"\n' + (
        'role = "protected"\n' if role == "protected" else ""
    )


def tag(name: str) -> str:
    return f'[[device]]\nid = "{name}"\ntransport = "ble:{name}"\nrole = "protected"\nkind = "smart_tag"\n'


def order(name: str, wearer: str, *protected: str) -> str:
    text = f'[[order]]\nid = "{name}"\nwearer = "{wearer}"\n'
    for each in protected:
        person, _, unit = each.partition("+")
        text += f'[[order.protected]]\ndevice = "{person}"\n' + (f'smart_tag = "{unit}"\n' if unit else "")
    return text


def load(tmp_path: Path, *parts: str, head: str = HEAD) -> LoadedConfig:
    file = tmp_path / "bridge.toml"
    file.write_text(head + "".join(parts))
    return load_config(file)


@pytest.fixture
def county(tmp_path: Path) -> LoadedConfig:
    """Two hundred wearers, forty of them with a protected person, four of those with two."""
    parts = [device(f"w{n}") for n in range(200)] + [device(f"p{n}", "protected") for n in range(40)]
    parts += [tag("st0"), tag("st1")]
    parts += [order(f"o{n}", f"w{n}", f"p{n}+st{n}" if n < 2 else f"p{n}") for n in range(40)]
    parts += [order(f"second{n}", f"w{100 + n}", f"p{n}+st{n}" if n < 2 else f"p{n}") for n in range(4)]
    return load(tmp_path, *parts)


def test_every_device_and_every_order_is_served_by_exactly_one_bridge(county: LoadedConfig) -> None:
    parts = [restrict(county, Part(number=n, of=5)) for n in range(1, 6)]
    served = Counter(each.id for part in parts for each in part.config.device)
    assert served == {each.id: 1 for each in county.config.device}
    orders = Counter(each.id for part in parts for each in part.config.order if each.id != NO_ORDER)
    assert orders == {each.id: 1 for each in county.config.order}


def test_who_stands_in_one_order_is_served_by_one_bridge(county: LoadedConfig) -> None:
    for of in (2, 5, 8):
        numbers = Networks(county.config).numbers(of)
        assert numbers["w0"] == numbers["p0"] == numbers["st0"] == numbers["w100"]
        assert all(numbers[o.wearer] == numbers[r.device] for o in county.config.order for r in o.protected)


def test_orders_that_share_a_person_are_one_network(tmp_path: Path) -> None:
    names = [device("a"), device("b"), device("c"), device("x", "protected"), device("y", "protected")]
    networks = Networks(load(tmp_path, *names, order("1", "b", "x"), order("2", "c", "x", "y")).config)
    assert {networks.key_of(each) for each in "bcxy"} == {"b"}
    assert networks.key_of("a") == "a"
    assert networks.key_of("nobody") == "nobody"


def test_what_the_provider_tied_together_stays_together(county: LoadedConfig) -> None:
    networks = Networks(county.config, [("w150", "w151", "p39"), ("gone", "w152")])
    assert networks.key_of("w150") == networks.key_of("w151") == networks.key_of("w39") == "p39"
    assert networks.key_of("gone") == networks.key_of("w152") == "gone"
    ties = [("w150", "w151")]
    parts = [restrict(county, Part(number=n, of=16), ties=ties) for n in range(1, 17)]
    assert any({"w150", "w151"} <= {each.id for each in part.config.device} for part in parts)


@given(st.text(min_size=1, max_size=20), st.integers(1, 64))
def test_a_bridge_more_takes_over_and_moves_nothing_between_the_others(key: str, of: int) -> None:
    assert choose(key, of + 1) in {choose(key, of), of + 1}


def test_the_share_of_each_bridge_is_fair_and_one_in_n_moves() -> None:
    keys = [f"tag-{n}" for n in range(10_000)]
    before = Counter(choose(key, 4) for key in keys)
    assert all(2_300 < before[n] < 2_700 for n in range(1, 5)), before
    moved = sum(choose(key, 4) != choose(key, 5) for key in keys)
    assert 1_800 < moved < 2_200, moved


def test_the_choice_is_the_same_on_every_machine_and_for_ever() -> None:
    """A change of these numbers moves every tag of every installation."""
    assert [choose(f"tag-{n}", 8) for n in range(12)] == [8, 4, 5, 3, 7, 3, 1, 8, 4, 6, 1, 4]


def test_a_part_without_orders_gives_its_wearers_no_zones(tmp_path: Path) -> None:
    (tmp_path / "zones.geojson").write_text(ZONES_JSON)
    names = [device(f"w{n}") for n in range(20)]
    whole = load(tmp_path, *names, order("only", "w3"), head=HEAD + '[zones]\nfile = "zones.geojson"\n')
    plans = [make_plan(restrict(whole, Part(number=n, of=4))) for n in range(1, 5)]
    assert sum(plan.assigned is not None for plan in plans) == 1
    assert all("w3" in {d.id for d in plan.devices} for plan in plans if plan.assigned is not None)


def test_without_orders_every_wearer_of_a_part_has_all_zones(tmp_path: Path) -> None:
    (tmp_path / "zones.geojson").write_text(ZONES_JSON)
    names = [device(f"w{n}") for n in range(20)]
    whole = load(tmp_path, *names, head=HEAD + '[zones]\nfile = "zones.geojson"\n')
    assert all(make_plan(restrict(whole, Part(number=n, of=4))).assigned is not None for n in range(1, 5))


def test_errors_in_a_part_name_the_line_of_the_whole_file(county: LoadedConfig) -> None:
    part = restrict(county, Part(number=2, of=3))
    for new, each in enumerate(part.config.device):
        old = next(n for n, other in enumerate(county.config.device) if other.id == each.id)
        for key in ("id", "transport"):
            assert part.sources.find(("device", new, key)) == county.sources.find(("device", old, key)) is not None
    assert part.sources.find(("broker", "url")) == county.sources.find(("broker", "url"))
    last = len(part.config.device)
    assert part.sources.find(("device", last, "id")) is None


def test_without_a_part_a_configuration_is_left_alone(county: LoadedConfig) -> None:
    assert find_part(county) is None
    assert restrict(county, None) is county


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "1/257", "1 / 4", "a/b", "-1/4"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"part of a whole|no bridge|at most"):
        parse_part(text)


def test_a_part_of_the_configuration_is_read_and_refused_with_its_line(tmp_path: Path) -> None:
    found = find_part(load(tmp_path, '[bridge]\npartition = "2/8"\n', device("w1")))
    assert found == Part(number=2, of=8)
    assert str(found) == "2/8" and instance_name("b-1", found) == "b-1-2of8" and instance_name("b-1", None) == "b-1"
    with pytest.raises(ConfigError, match=r"bridge.toml:4: bridge.partition: .*9/8"):
        find_part(load(tmp_path, '[bridge]\npartition = "9/8"\n', device("w1")))


def test_parts_need_a_broker_that_they_share_and_names_that_fit(tmp_path: Path) -> None:
    whole = load(tmp_path, f'[bridge]\nid = "{"b" * 62}"\n', device("w1"), head="")
    with pytest.raises(ConfigError) as caught:
        restrict(whole, Part(number=1, of=2))
    assert "would start one of its own" in str(caught.value) and "at most 64 fit" in str(caught.value)
