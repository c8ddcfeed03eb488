"""Cut botocore down to the services that the functions call: nine tenths of it, and of what a cold start unzips.

The endpoints too: a new client parses them all, and that is a third of what it costs.
A service that is cut says where to add it.
"""

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


def tell_where_to_add(layer: Path) -> None:
    """Change what botocore says of a service that it does not know."""
    file = layer / "botocore" / "exceptions.py"
    text = file.read_text()
    if text.count(UNKNOWN) != 1:
        sys.exit(f"{file} no longer says: {UNKNOWN}")
    file.write_text(text.replace(UNKNOWN, ADD_IT))


def check_size(layer: Path) -> None:
    """Fail if the layer is larger than a cold start affords."""
    size = sum(file.stat().st_size for file in layer.rglob("*") if file.is_file()) / 2**20
    if size > MAX_MIB:
        sys.exit(f"The dependencies layer is {size:.1f} MB unzipped; {MAX_MIB} are what a cold start affords.")


if __name__ == "__main__":
    python, listed = map(Path, sys.argv[1:])
    prune(python, set(listed.read_text().split()))
    tell_where_to_add(python)
    check_size(python)
