"""What an undisturbed run gives, for all tests that disturb one."""

import pytest

from tests.kills import LONG_S, slow_zoo, tables
from tests.zoo import otce, write_zoo, zoo_config


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory, prefect_api):
    """Tables of `slow_zoo`."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    code, output = otce(
        "run", slow_zoo(folder), log=folder / "log", env=prefect_api, limit_s=LONG_S
    )
    assert code == 0, output
    return tables(folder)


@pytest.fixture(scope="session")
def two_pairs(tmp_path_factory, prefect_api):
    """The folder of a whole run of two models on one target, and its tables."""
    folder = tmp_path_factory.mktemp("whole")
    path = write_zoo(folder, zoo_config(models=2, targets=1))
    code, output = otce("run", path, log=folder / "log", env=prefect_api)
    assert code == 0, output
    return folder, tables(folder)
