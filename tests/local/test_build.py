"""What of botocore is shipped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from local.build import MAX_LAYER_MIB, keep_used_services
from local.toolchain import StepError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "botocore" / "data"
    for service in ("dynamodb", "ec2", "s3"):
        (folder / service).mkdir(parents=True)
        (folder / service / "service-2.json").write_text("{}")
    partition = {"partition": "aws", "dnsSuffix": "amazonaws.com", "services": {"dynamodb": {"a": 1}, "ec2": {}}}
    (folder / "endpoints.json").write_text(json.dumps({"version": 3, "partitions": [partition]}))
    return folder


def test_services_that_no_function_calls_stay_behind_with_their_endpoints(tmp_path: Path, data: Path) -> None:
    keep_used_services(tmp_path)
    assert sorted(one.name for one in data.iterdir()) == ["dynamodb", "endpoints.json", "s3"]
    (partition,) = json.loads((data / "endpoints.json").read_text())["partitions"]
    assert partition == {"partition": "aws", "dnsSuffix": "amazonaws.com", "services": {"dynamodb": {"a": 1}}}


def test_a_layer_that_grows_too_large_fails_the_build(tmp_path: Path, data: Path) -> None:
    (data / "s3" / "large").write_bytes(bytes(MAX_LAYER_MIB * 2**20))
    with pytest.raises(StepError, match=r"dependencies layer is 25\.0 MB"):
        keep_used_services(tmp_path)
