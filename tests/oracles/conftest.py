"""What holds for all tests of oracles."""

import pytest
import threadpoolctl


@pytest.fixture(autouse=True)
def _one_thread():
    """Keeps linear algebra to one thread: two test processes of many threads each wait for one another for minutes."""
    with threadpoolctl.threadpool_limits(1):
        yield
