"""What an undisturbed run gives, for all tests that disturb one."""

import pytest

from tests.kills import LONG_S, slow_zoo, tables
from tests.zoo import otce


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory, prefect_api):
    """Tables of `slow_zoo`."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    code, output = otce(
        "run", slow_zoo(folder), log=folder / "log", env=prefect_api, limit_s=LONG_S
    )
    assert code == 0, output
    return tables(folder)
