"""Who may have how much of a listener: the rule alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from msh.transport.http_rules import ListenLimits
from msh.transport.shares import Places, Share

LIMITS = ListenLimits(connections=6, connections_each=3, strangers=3, strangers_each=2)
ADDRESSES = ["10.0.0.1", "10.0.0.2", "192.0.2.1", "192.0.2.2", "192.0.2.3", "127.0.0.1"]


def places(limits: ListenLimits = LIMITS) -> Places:
    """10.0.0.0/8 is expected, and 2001:db8::/32; 127.0.0.0/8 holds the proxies."""
    return Places(
        limits,
        lambda address: address.startswith(("10.", "2001:db8:", "::ffff:10.")),
        (ip_network("127.0.0.0/8"),),
    )


def taken(of: Places, *addresses: str) -> list[bool]:
    """Which of the connections get a place."""
    return [callable(of.take(address)) for address in addresses]


def test_a_share_is_for_each() -> None:
    share = Share(10)
    assert [share.take("a", 6), share.take("a", 5), share.take("b", 10)] == [True, False, True]
    share.give_back("a", 6)
    assert [share.take("a", 10), share.take("a"), share.take("b")] == [True, False, False]


def test_one_address_does_not_take_all_places() -> None:
    assert taken(places(), *["10.0.0.1"] * 4, "10.0.0.2") == [True, True, True, False, True]


def test_the_forms_and_the_network_of_an_address_are_one() -> None:
    assert (
        taken(places(), "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1")[-1] is False
    )
    same = [f"2001:db8::{number}" for number in range(1, 5)]
    assert taken(places(), *same, "2001:db8:0:1::1") == [True, True, True, False, True]


def test_strangers_have_few_and_take_none_of_the_others() -> None:
    strangers = ["192.0.2.1"] * 3 + ["192.0.2.2", "192.0.2.3"]
    of = places()
    assert taken(of, *strangers) == [True, True, False, True, False]
    assert taken(of, "10.0.0.1", "10.0.0.1", "10.0.0.2") == [True, True, True]
    assert of.take("10.0.0.2") == "all 6 places are taken"


def test_a_proxy_has_no_share_of_its_own() -> None:
    assert taken(places(), *["127.0.0.1"] * 7) == [True] * 6 + [False]


@given(st.lists(st.tuples(st.sampled_from(ADDRESSES), st.booleans())))
def test_bounds_hold_and_every_place_comes_back(steps: list[tuple[str, bool]]) -> None:
    of = places()
    open_: list[tuple[str, Callable[[], None]]] = []
    for address, leaves in steps:
        if leaves and open_:
            open_.pop(0)[1]()
        elif callable(leave := of.take(address)):
            open_.append((address, leave))
        held = Counter(address for address, _ in open_)
        strangers = {address: n for address, n in held.items() if address.startswith("192.")}
        assert held.total() <= 6
        assert sum(strangers.values()) <= 3
        assert all(n <= 2 for n in strangers.values())
        assert held["10.0.0.1"] <= 3
    for _, leave in open_:
        leave()
    assert taken(of, *["10.0.0.1"] * 3, *["192.0.2.1"] * 2, "192.0.2.2") == [True] * 6
