"""No secret in a configuration, and none in what is said of one."""

import pytest
import yaml

from otce.config_file import load_config
from otce.errors import ConfigError
from otce.secrets import refuse_secret_options
from tests.zoo import write_zoo, zoo_config

CANARY = "canary-4f1d"
SECRETS = [
    {"s3": {"key": CANARY}},
    {"s3": {"secret": CANARY}},
    {"s3": {"token": CANARY}},
    {"s3": {"client_kwargs": {"aws_access_key_id": CANARY}}},
    {"s3": {"client_kwargs": {"aws_secret_access_key": CANARY}}},
    {"s3": {"client_kwargs": {"aws_session_token": CANARY}}},
    {"s3": {"s3_additional_kwargs": {"SSECustomerKey": CANARY}}},
    {"s3": {"endpoint_url": f"http://user:{CANARY}@host"}},
    {"s3": {"config_kwargs": {"proxies": {"https": f"http://user:{CANARY}@host"}}}},
    {"gs": {"token": {"private_key": CANARY}}},
    {"gs": {"token": f"/{CANARY}.json"}},
    {"az": {"connection_string": CANARY}},
    {"az": {"account_key": CANARY}},
    {"az": {"sas_token": CANARY}},
    {"az": {"client_secret": CANARY}},
    {"az": {"credential": CANARY}},
    {"http": {"client_kwargs": {"headers": {"Authorization": CANARY}}}},
    {"sftp": {"password": CANARY}},
    {"sftp": {"hosts": [{"passphrase": CANARY}]}},
]


@pytest.mark.parametrize("options", SECRETS, ids=str)
@pytest.mark.parametrize("by", ["file", "field", "section"])
def test_a_secret_is_refused_and_never_repeated(tmp_path, options, by):
    config = zoo_config()
    flow = yaml.safe_dump(options, default_flow_style=True).strip()
    overrides = {
        "file": [],
        "field": [f"execution.storage_options={flow}"],
        "section": [f"execution={{storage_options: {flow}}}"],
    }[by]
    if by == "file":
        config["execution"]["storage_options"] = options
    path = write_zoo(tmp_path, config)
    with pytest.raises(ConfigError, match=r"secret; keep secrets out.*AWS_ACCESS_KEY_ID") as caught:
        load_config(str(path), overrides)
    assert CANARY not in str(caught.value)


def test_what_is_no_secret_is_kept():
    options = {
        "s3": {
            "endpoint_url": "http://127.0.0.1:9000",
            "anon": True,
            "profile": "team",
            "config_kwargs": {"retries": {"max_attempts": 1}, "read_timeout": 0.5},
            "s3_additional_kwargs": {"SSEKMSKeyId": "alias/otce", "BucketKeyEnabled": True},
        },
        "gs": {"token": "anon", "project": "team", "key": None},
        "az": {"account_name": "team", "client_id": "id", "tenant_id": "id"},
    }
    refuse_secret_options(options)


@pytest.mark.parametrize("wrong", [CANARY, {"s3": CANARY}, {"s3": [CANARY]}])
def test_options_of_a_wrong_kind_are_told_without_their_value(tmp_path, wrong):
    config = zoo_config()
    config["execution"]["storage_options"] = wrong
    with pytest.raises(ConfigError, match="should be a valid dictionary, found") as caught:
        load_config(str(write_zoo(tmp_path, config)))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        f"ftp://user:{CANARY}@host/zoo",
        f"s3://key:{CANARY}@bucket/zoo",
        f"https://bucket/zoo?X-Amz-Signature={CANARY}",
        f"az://box/zoo?sv=1&sig={CANARY}",
    ],
)
@pytest.mark.parametrize("by_set", [True, False])
def test_an_address_with_a_secret_in_it_is_refused_and_never_repeated(tmp_path, uri, by_set):
    config = zoo_config()
    overrides = [f"execution.store={uri}"] if by_set else []
    if not by_set:
        config["execution"]["store"] = uri
    with pytest.raises(ConfigError, match="a password or a signature in it") as caught:
        load_config(str(write_zoo(tmp_path, config)), overrides)
    assert CANARY not in str(caught.value)
