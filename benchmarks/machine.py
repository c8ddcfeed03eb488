"""On what a run was made: the machine and the versions."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from benchmarks.kinds import CASTORE
from local import dynamodb_local
from local.toolchain import ROOT

OWN = ("eventfold", "boto3", "botocore", "pydantic", "orjson")
PEERS = {
    "bench-pynamodb": ("pynamodb", "botocore"),
    "bench-aett": ("aett", "boto3"),
    "bench-eventsourcing": ("eventsourcing", "eventsourcing-dynamodb", "boto3"),
}


def machine() -> dict[str, str]:
    """Return what it runs on."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "node": _node(),
        "store": f"DynamoDB Local, {dynamodb_local.PACKAGE}",
    }


def versions() -> dict[str, str]:
    """Return what each peer is made of."""
    found = {"eventfold, plain boto3": ", ".join(f"{name} {version(name)}" for name in OWN)}
    for file, names in PEERS.items():
        pinned = dict(
            re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements" / f"{file}.txt").read_text(), re.MULTILINE)
        )
        found[names[0]] = ", ".join(f"{name} {pinned[name]}" for name in names)
    package = json.loads((CASTORE / "package.json").read_text())
    found["castore"] = ", ".join(f"{name} {pin}" for name, pin in package["dependencies"].items())
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else []
    return str(names[0]) if names else platform.processor() or platform.machine()


def _node() -> str:
    if not (node := shutil.which("node")):
        return "none"
    return (
        subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip().removeprefix("v")
    )
