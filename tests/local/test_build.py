"""What `sam build` makes of the layers and functions: the same for make, a pipeline and `sam sync`."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import botocore
import pytest

from local.build import LOCAL_BUILD
from local.toolchain import ROOT

PRUNE = ROOT / "layers" / "dependencies" / "prune.py"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu-west-1"}
NOWHERE = "http://127.0.0.1:9"
SAYS = "        \"Unknown service: '{service_name}'. Valid service names are: \"\n"
MODEL = {
    "operations": {"PutItem": {"name": "PutItem", "documentation": "<p>Puts</p>"}},
    "shapes": {"A": {"members": {"documentation": {"shape": "B", "documentation": "of it"}}, "enum": ["x"]}},
}
HANDLERS = (
    '"""All."""\n\nfrom json import dumps, loads\nfrom asyncio import run\n\n__all__ = ["dumps", "loads", "run"]\n'
)


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
    (data / "dynamodb" / "2012-08-10").mkdir()
    (data / "dynamodb" / "2012-08-10" / "service-2.json.gz").write_bytes(gzip.compress(json.dumps(MODEL).encode()))
    docs = data.parent / "docs"
    docs.mkdir()
    for name in ("__init__.py", "docstring.py"):
        shutil.copy(Path(botocore.__file__).parent / "docs" / name, docs / name)
    handlers = tmp_path / "layer" / "aws_lambda_powertools" / "event_handler"
    handlers.mkdir(parents=True)
    (handlers / "__init__.py").write_text(HANDLERS)
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
    (model,) = (data / "dynamodb" / "2012-08-10").iterdir()
    assert model.name == "service-2.json"
    assert json.loads(model.read_text()) == {
        "operations": {"PutItem": {"name": "PutItem", "documentation": ""}},
        "shapes": {"A": {"members": {"documentation": {"shape": "B", "documentation": ""}}, "enum": ["x"]}},
    }


@pytest.mark.aws
@pytest.mark.parametrize(
    ("change", "services", "message"),
    [
        (lambda data: (data / "s3" / "large").write_bytes(bytes(25 * 2**20)), "s3", "layer is 25.0 MB unzipped"),
        (lambda data: None, "s3\nsqss", "no service sqss"),
        (lambda data: (data.parent / "exceptions.py").write_text(""), "s3", "no longer says"),
        (
            lambda data: (data.parents[1] / "aws_lambda_powertools/event_handler/__init__.py").write_text("a = b()"),
            "s3",
            "has more than imports: a = b()",
        ),
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


def says(code: str, *folders: Path) -> str:
    """Return what a new process says that has the built layers alone."""
    paths = [str(LOCAL_BUILD / f"{layer}Layer" / "python") for layer in ("Dependencies", "Eventfold", "App")]
    start = f"import sys; sys.path[:0] = {[*map(str, folders), *paths]!r}; sys.dont_write_bytecode = True; "
    done = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-I", "-S", "-c", start + code],
        env={"POWERTOOLS_METRICS_NAMESPACE": "eventfold", **CREDENTIALS},
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout


@pytest.mark.usefixtures("deployed")
def test_what_is_cut_is_documentation_and_imports_and_nothing_else() -> None:
    """As pip installs them, and as they are built: the same operations, shapes and names."""
    model = "import botocore.loaders as l, json; m = l.Loader().load_service_model('dynamodb', 'service-2'); "
    sizes = "print(sorted(m['operations']), {n: sorted(s.get('members', [])) for n, s in sorted(m['shapes'].items())})"
    built = says(model + sizes)
    installed = subprocess.run([sys.executable, "-c", model + sizes], text=True, capture_output=True, check=True)  # noqa: S603
    assert built == installed.stdout
    names = "import aws_lambda_powertools.event_handler as e; print(*e.__all__); [getattr(e, n) for n in e.__all__]"
    installed = subprocess.run([sys.executable, "-c", names], text=True, capture_output=True, check=True)  # noqa: S603
    assert set(says(names).split()) >= set(installed.stdout.split())
    assert len(installed.stdout.split()) > 10
    for service, call in (("s3", "list_objects_v2(Bucket='b')"), ("dynamodb", "list_tables()")):
        client = (
            f"import botocore.session as s; c = s.get_session().create_client('{service}', endpoint_url='{NOWHERE}')"
        )
        reached = f"{client}\ntry: c.{call}\nexcept Exception as error: print(type(error).__name__)"
        assert says(reached).strip() == "EndpointConnectionError", "what goes over the wire is made of all the rest"
    client = "import botocore.session as s; c = s.get_session().create_client('dynamodb'); "
    docstrings = "print(c.put_item.__doc__, c.get_paginator('query').paginate.__doc__, dir(c))"
    written = says(client + docstrings)
    assert "Creates a new item" not in written
    assert "response = client.put_item(" in written


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("function", ["Commands", "Queries", "Projections"])
def test_a_function_starts_without_what_it_never_uses(function: str) -> None:
    modules = says("import handler; print(*sys.modules)", LOCAL_BUILD / f"{function}Function").split()
    assert "handler" in modules
    assert {"asyncio", "boto3", "html.parser"}.isdisjoint(modules)


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
