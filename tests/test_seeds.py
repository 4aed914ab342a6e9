"""Seeds of trials are the same in every process and version."""

import pytest

from tuner.seeds import derived_seed


@pytest.mark.parametrize(
    ("parts", "seed"),
    # The first 31 bits of SHA-256 of the tuple's repr; trials of studies on disk were trained with them.
    [((0, "{}"), 229563985), ((1, "{}"), 1766025274), ((0, "weights", 3), 451193554)],
)
def test_derived_seed_never_changes(parts, seed):
    assert derived_seed(*parts) == seed
