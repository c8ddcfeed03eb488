"""`sam build`, then bytecode: Lambda's file system is read-only, so without it every cold start compiles everything.

SAM leaves an empty folder behind a failed build, and a deploy would then ship raw source: each build is checked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped] # ships no types

from local.locks import locked
from local.toolchain import LOCAL, ROOT, SAM, StepError, environment, main_guard, run, sam_profile, step

if TYPE_CHECKING:
    from pathlib import Path

FUNCTIONS = (
    "CommandsFunction",
    "QueriesFunction",
    "ProjectionsFunction",
    "SnapshotsFunction",
    "RedriveFunction",
    "RebuildFunction",
)
LAYERS = ("DependenciesLayer", "EventfoldLayer", "AppLayer")
SERVICES = ("dynamodb", "s3")
"""What the functions call: events and read models; a point-in-time export to rebuild from."""
MAX_LAYER_MIB = 25
LOCAL_BUILD = LOCAL / "build"


def local_build() -> Path:
    """Return the build for this machine, made anew only when its sources changed."""
    stamp, digest = LOCAL_BUILD / ".sources", source_digest()
    with locked(LOCAL / "build.lock", wait=True):
        if not (stamp.is_file() and stamp.read_text() == digest):
            with step("Building the functions and layers"):
                build(LOCAL_BUILD, sam_profile())
                fit_the_emulator(LOCAL_BUILD)
            stamp.write_text(digest)
    return LOCAL_BUILD


def build(folder: Path, profile: str) -> None:
    """Build into a folder and add bytecode.

    Raises:
        StepError: the build failed or is not whole.
    """
    shutil.rmtree(folder, ignore_errors=True)
    run([SAM, "build", "--config-env", profile, "--build-dir", folder], environment(), "sam build")
    for name in (*FUNCTIONS, *LAYERS):
        if not any((folder / name).rglob("*.py")):
            raise StepError(f"sam build left {name} empty. Run `sam build --debug` to see why.")
    keep_used_services(folder / "DependenciesLayer" / "python")
    # Unchecked, because zip changes the times that a checked .pyc is compared by.
    python = ROOT / ".venv" / "bin" / "python"
    compile_all: list[str | Path] = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", folder]
    run(compile_all, environment(), "compiling to bytecode")
    check_bytecode(folder)


def fit_the_emulator(folder: Path) -> None:
    """Change what the emulator does not take: it reads definitions in JSON alone, and knows no metric math."""
    file = folder / "template.yaml"
    template = yaml.safe_load(file.read_text())
    for name, resource in list(template["Resources"].items()):
        properties = resource["Properties"]
        if "Metrics" in properties:
            del template["Resources"][name]
        elif definition := properties.get("DefinitionUri"):
            written = folder / f"{name}.json"
            written.write_text(json.dumps(yaml.safe_load((folder / definition).read_text())))
            properties["DefinitionUri"] = written.name
    file.write_text(yaml.safe_dump(template, sort_keys=False))


def keep_used_services(layer: Path) -> None:
    """Delete the descriptions of services that no function calls: nine tenths of botocore, and of what a start unzips.

    Their endpoints too: a new client parses them all, and that is a third of what it costs.

    Raises:
        StepError: the layer is still larger than it may be.
    """
    data = layer / "botocore" / "data"
    for service in data.iterdir():
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)
    endpoints = json.loads((data / "endpoints.json").read_bytes())
    for partition in endpoints["partitions"]:
        partition["services"] = {name: one for name, one in partition["services"].items() if name in SERVICES}
    (data / "endpoints.json").write_text(json.dumps(endpoints))
    size = sum(file.stat().st_size for file in layer.rglob("*") if file.is_file()) / 2**20
    if size > MAX_LAYER_MIB:
        raise StepError(
            f"The dependencies layer is {size:.1f} MB unzipped; {MAX_LAYER_MIB} are what a cold start affords."
        )


def check_bytecode(folder: Path) -> None:
    """Check that each module that ships has its bytecode.

    Raises:
        StepError: names the first that has none.
    """
    for source in folder.rglob("*.py"):
        if not (source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc").is_file():
            raise StepError(f"{source.relative_to(folder)} has no bytecode.")


def source_digest() -> str:
    """Return a digest of all that a build depends on."""
    digest = hashlib.sha256()
    for folder in ("layers", "functions", "statemachines"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    for name in ("template.yaml", "samconfig.toml", "local/build.py"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def main() -> int:
    """Build for AWS, where `sam deploy` looks for it."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    with step("Building for AWS (arm64)"):
        build(ROOT / ".aws-sam" / "build", "default")
    return 0


if __name__ == "__main__":
    main_guard(main)
