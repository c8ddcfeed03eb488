"""Cut the layer down to what the functions use: what a cold start unzips, parses and imports.

Of botocore stay the services that are called, nine tenths go; of their descriptions stay the operations and the
endpoints, which a new client parses, and their documentation goes. A service that is cut says where to add it.
Of Powertools' event handlers each is imported when it is asked for, where its package imports all: AppSync's bring
asyncio. So is what botocore writes docstrings with. tests/local/test_build.py holds what is built to what is not cut.
"""

import ast
import gzip
import json
import shutil
import sys
from pathlib import Path

MAX_MIB = 25
"""What a cold start affords, unzipped."""
UNKNOWN = "Valid service names are: "
ADD_IT = "Add it to layers/dependencies/services.txt, and build and deploy again. The layer has: "


def prune(layer: Path, services: set[str]) -> None:
    """Delete what describes other services."""
    data = layer / "botocore" / "data"
    if unknown := [name for name in services if not (data / name).is_dir()]:
        sys.exit(f"botocore has no service {', '.join(sorted(unknown))}: see services.txt.")
    for service in data.iterdir():
        if service.is_dir() and service.name not in services:
            shutil.rmtree(service)
    endpoints = json.loads((data / "endpoints.json").read_bytes())
    for partition in endpoints["partitions"]:
        partition["services"] = {name: one for name, one in partition["services"].items() if name in services}
    (data / "endpoints.json").write_text(json.dumps(endpoints))


def drop_documentation(layer: Path) -> None:
    """Take the texts out of what describes the services: four fifths of it, which every new client parses."""
    for packed in (layer / "botocore" / "data").glob("*/*/service-2.json.gz"):
        model = json.loads(gzip.decompress(packed.read_bytes()))
        packed.with_suffix("").write_text(json.dumps(_undocumented(model)))
        packed.unlink()


def _undocumented(value: object) -> object:
    if isinstance(value, dict):
        # Empty, since botocore reads some. A shape may have a member of that name: that is an object.
        empty = {"documentation": ""} if isinstance(value.get("documentation"), str) else {}
        return {name: _undocumented(one) for name, one in value.items()} | empty
    return [_undocumented(one) for one in value] if isinstance(value, list) else value


LAZY = '''"""Event handlers, each imported when it is asked for: https://peps.python.org/pep-0562/"""

from importlib import import_module

_MODULES = {modules}
__all__ = list(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
    return getattr(import_module(_MODULES[name]), name)
'''


def import_lazily(layer: Path) -> None:
    """Have a package whose `__init__` is nothing but imports do each of them when its name is asked for."""
    file = layer / "aws_lambda_powertools" / "event_handler" / "__init__.py"
    modules: dict[str, str] = {}
    for statement in ast.parse(file.read_text()).body:
        match statement:
            case ast.ImportFrom(module=str(module), level=0, names=names) if not any(one.asname for one in names):
                modules |= {one.name: module for one in names}
            case ast.Expr(value=ast.Constant()) | ast.Assign(targets=[ast.Name(id="__all__")]):
                pass
            case _:
                sys.exit(f"{file} has more than imports: {ast.unparse(statement)}")
    file.write_text(LAZY.format(modules=modules))


ON_CALL = """def {name}(*args, **kwargs):
    from {module} import {name}

    return {name}(*args, **kwargs)
"""
WRITES_DOCSTRINGS = (
    ("__init__.py", "botocore.docs.service", "ServiceDocumenter"),
    ("docstring.py", "botocore.docs.bcdoc.restdoc", "DocumentStructure"),
    ("docstring.py", "botocore.docs.method", "document_model_driven_method"),
    ("docstring.py", "botocore.docs.paginator", "document_paginate_method"),
    ("docstring.py", "botocore.docs.waiter", "document_wait_method"),
)


def import_when_called(layer: Path) -> None:
    """Have botocore import what writes a client's docstrings, with its parser of HTML, when one is read."""
    for part, module, name in WRITES_DOCSTRINGS:
        _replace(
            layer / "botocore" / "docs" / part,
            f"from {module} import {name}\n",
            ON_CALL.format(module=module, name=name),
        )


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    if text.count(old) != 1:
        sys.exit(f"{file} no longer says: {old}")
    file.write_text(text.replace(old, new))


def tell_where_to_add(layer: Path) -> None:
    """Change what botocore says of a service that it does not know."""
    _replace(layer / "botocore" / "exceptions.py", UNKNOWN, ADD_IT)


def check_size(layer: Path) -> None:
    """Fail if the layer is larger than a cold start affords."""
    size = sum(file.stat().st_size for file in layer.rglob("*") if file.is_file()) / 2**20
    if size > MAX_MIB:
        sys.exit(f"The dependencies layer is {size:.1f} MB unzipped; {MAX_MIB} are what a cold start affords.")


if __name__ == "__main__":
    python, listed = map(Path, sys.argv[1:])
    prune(python, set(listed.read_text().split()))
    drop_documentation(python)
    import_lazily(python)
    import_when_called(python)
    tell_where_to_add(python)
    check_size(python)
