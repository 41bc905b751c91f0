"""A store that refuses ends the command with 3 before any work, and tells no secret."""

import pytest

from tests.faults.s3_proxy import DENIED, always, s3_proxy
from tests.zoo import otce, write_zoo, zoo_config

CANARY = "canary-9b27"
pytestmark = pytest.mark.nightly


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize("wrong", ["listing is denied", "no such bucket"])
def test_it_ends_with_3_before_any_model_is_loaded(
    command, wrong, tmp_path, s3_server, s3_bucket, prefect_api
):
    secrets = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    with s3_proxy(s3_server) as proxy:
        config = zoo_config(models=1, targets=1)
        bucket = s3_bucket if wrong == "listing is denied" else "otce-no-such-bucket"
        config["execution"]["store"] = f"s3://{bucket}/store"
        config["execution"]["storage_options"] = {"s3": {"endpoint_url": proxy.endpoint}}
        if wrong == "listing is denied":
            proxy.script = always(DENIED, "GET", "list-type=2")
        env = prefect_api | dict.fromkeys(secrets, CANARY)
        path = write_zoo(tmp_path, config)
        code, output = otce(command, path, log=tmp_path / "log", env=env)
        failures = proxy.failures()
    assert code == 3, output
    told = "refused" if wrong == "listing is denied" else "no such object; check the path"
    assert told in output
    assert failures == (1 if wrong == "listing is denied" else 0)
    assert CANARY not in output
    assert "starting Ray" not in output
