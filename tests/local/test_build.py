"""What `sam build` makes of the layers and functions: the same for make, a pipeline and `sam sync`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from local.build import LOCAL_BUILD
from local.toolchain import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PRUNE = ROOT / "layers" / "dependencies" / "prune.py"
SAYS = "        \"Unknown service: '{service_name}'. Valid service names are: \"\n"


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """Return a layer with three services, of which two are listed."""
    data = tmp_path / "layer" / "botocore" / "data"
    for service in ("dynamodb", "ec2", "s3"):
        (data / service).mkdir(parents=True)
        (data / service / "service-2.json").write_text("{}")
    partition = {"partition": "aws", "dnsSuffix": "amazonaws.com", "services": {"dynamodb": {"a": 1}, "ec2": {}}}
    (data / "endpoints.json").write_text(json.dumps({"version": 3, "partitions": [partition]}))
    (data.parent / "exceptions.py").write_text(SAYS)
    return tmp_path / "layer"


def prune(layer: Path, services: str = "dynamodb\ns3\n") -> subprocess.CompletedProcess[str]:
    listed = layer.parent / "services.txt"
    listed.write_text(services)
    command = [sys.executable, str(PRUNE), str(layer), str(listed)]
    return subprocess.run(command, text=True, capture_output=True, check=False)  # noqa: S603 - this very Python


@pytest.mark.aws
def test_services_that_are_not_listed_stay_behind_with_their_endpoints(layer: Path) -> None:
    assert prune(layer).returncode == 0
    data = layer / "botocore" / "data"
    assert sorted(one.name for one in data.iterdir()) == ["dynamodb", "endpoints.json", "s3"]
    (partition,) = json.loads((data / "endpoints.json").read_text())["partitions"]
    assert partition == {"partition": "aws", "dnsSuffix": "amazonaws.com", "services": {"dynamodb": {"a": 1}}}
    assert "Add it to layers/dependencies/services.txt" in (data.parent / "exceptions.py").read_text()


@pytest.mark.aws
@pytest.mark.parametrize(
    ("change", "services", "message"),
    [
        (lambda data: (data / "s3" / "large").write_bytes(bytes(25 * 2**20)), "s3", "layer is 25.0 MB unzipped"),
        (lambda data: None, "s3\nsqss", "no service sqss"),
        (lambda data: (data.parent / "exceptions.py").write_text(""), "s3", "no longer says"),
    ],
)
def test_a_build_fails_that_would_not_work(layer: Path, change: object, services: str, message: str) -> None:
    change(layer / "botocore" / "data")  # type: ignore[operator]
    done = prune(layer, services)
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.usefixtures("deployed")
def test_all_that_ships_has_bytecode_and_nothing_of_another_python() -> None:
    sources = list(LOCAL_BUILD.rglob("*.py"))
    compiled = set(LOCAL_BUILD.rglob("*.pyc"))
    expected = {file.parent / "__pycache__" / f"{file.stem}.cpython-313.pyc" for file in sources}
    assert len(sources) > 100
    assert compiled == expected


@pytest.mark.usefixtures("deployed")
def test_a_service_that_is_left_out_says_where_to_add_it() -> None:
    """A user's `boto3.client("sqs")` meets the layer's botocore: it comes before the runtime's."""
    call = "from botocore.session import get_session as s; s().create_client('sqs', region_name='eu-west-1')"
    python = LOCAL_BUILD / "DependenciesLayer" / "python"
    done = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(python)!r}); {call}"],
        text=True,
        capture_output=True,
        check=False,
    )
    assert "Unknown service: 'sqs'. Add it to layers/dependencies/services.txt" in done.stderr
