"""The bound on refusals to strangers."""

from __future__ import annotations

from msh.protocol.rate import KEYS, RateLimit


def test_a_burst_and_then_the_rate() -> None:
    limit = RateLimit(rate=2, burst=3)
    assert [limit.allows("a", 100.0) for _ in range(4)] == [True, True, True, False]
    assert not limit.allows("a", 100.4)
    assert limit.allows("a", 100.5)
    assert not limit.allows("a", 100.6)
    assert [limit.allows("a", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_one_key_does_not_use_what_is_anothers() -> None:
    limit = RateLimit(rate=1, burst=1)
    assert limit.allows("a", 0.0)
    assert not limit.allows("a", 0.0)
    assert limit.allows("b", 0.0)


def test_a_flood_of_keys_takes_no_more_memory() -> None:
    limit = RateLimit(rate=1, burst=1)
    for number in range(3 * KEYS):
        assert limit.allows(f"{number}", 0.0)
    assert len(limit._buckets) == KEYS
