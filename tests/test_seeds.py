"""Seeds of trials are the same in every process and version."""

import pytest

from tuner.seeds import SEED_STRIDE, derived_seed, spread_seed


@pytest.mark.parametrize(
    ("parts", "seed"),
    # The first 31 bits of SHA-256 of the tuple's repr; trials of studies on disk were trained with them.
    [((0, "{}"), 229563985), ((1, "{}"), 1766025274), ((0, "weights", 3), 451193554)],
)
def test_derived_seed_never_changes(parts, seed):
    assert derived_seed(*parts) == seed


def test_seeds_of_searches_lie_far_apart():
    spread = [spread_seed(seed) for seed in range(2000)]
    assert spread[:3] == [1, 1_000_001, 2_000_001]  # never 0, which is no seed for Keras Tuner
    assert min(b - a for a, b in zip(sorted(spread), sorted(spread)[1:], strict=False)) >= SEED_STRIDE
    assert all(1 <= spread_seed(seed) <= 2**31 for seed in (0, 10**9, 2**31, 2**63))
