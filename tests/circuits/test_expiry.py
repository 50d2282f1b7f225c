"""How long a circuit stays open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brama.circuits import Policy
from brama.circuits.expiry import open_for


def never(*_args):
    raise AssertionError("a fixed expiry is not random")


def test_a_fixed_expiry_is_always_the_same():
    policy = Policy(expiry=7.0)
    assert [open_for(policy, opens, never) for opens in (1, 2, 100)] == [7.0, 7.0, 7.0]


def test_a_progressive_expiry_grows_by_its_factor_up_to_its_bound():
    policy = Policy(
        expiry_strategy="progressive", initial_expiry=5, max_expiry=300, backoff_factor=2, jitter=0
    )
    assert [open_for(policy, opens, lambda: 0.9) for opens in range(1, 9)] == [
        5, 10, 20, 40, 80, 160, 300, 300,
    ]  # fmt: skip


@pytest.mark.parametrize("opens", [2_000, 10**9])
def test_a_progressive_expiry_stays_at_its_bound_however_often_the_circuit_opens(opens):
    policy = Policy(expiry_strategy="progressive", jitter=0)
    assert open_for(policy, opens, lambda: 0.0) == 600.0


def test_a_factor_of_one_does_not_grow():
    policy = Policy(expiry_strategy="progressive", backoff_factor=1, jitter=0)
    assert open_for(policy, 50, lambda: 0.0) == 60.0


@pytest.mark.parametrize(("drawn", "seconds"), [(0.0, 60.0), (0.5, 51.0), (0.999, 42.018)])
def test_jitter_takes_off_up_to_its_share(drawn, seconds):
    policy = Policy(expiry_strategy="progressive", jitter=0.3)
    assert open_for(policy, 1, lambda: drawn) == pytest.approx(seconds)


@given(
    opens=st.integers(1, 10_000),
    initial=st.floats(0.001, 1e6),
    share=st.floats(1, 1e6),
    factor=st.floats(1, 999_999),
    jitter=st.floats(0, 1),
    drawn=st.floats(0, 1, exclude_max=True),
)
def test_a_progressive_expiry_is_never_longer_than_its_bound_nor_shorter_than_its_jitter_allows(
    opens, initial, share, factor, jitter, drawn
):
    policy = Policy(
        expiry_strategy="progressive",
        initial_expiry=initial,
        max_expiry=initial * share,
        backoff_factor=factor,
        jitter=jitter,
    )
    assert initial * (1 - jitter) <= open_for(policy, opens, lambda: drawn) * (1 + 1e-9)
    assert open_for(policy, opens, lambda: drawn) <= policy.max_expiry
