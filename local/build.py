"""The build for this machine: `sam build`, and what the emulator needs changed in the template."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped] # ships no types

from local.locks import locked
from local.toolchain import LOCAL, ROOT, SAM, environment, run, sam_profile, step

if TYPE_CHECKING:
    from pathlib import Path

LOCAL_BUILD = LOCAL / "build"


def local_build() -> Path:
    """Return the build for this machine, made anew only when its sources changed.

    Raises:
        StepError: it failed; shows what SAM said.
    """
    stamp, digest = LOCAL_BUILD / ".sources", source_digest()
    with locked(LOCAL / "build.lock", wait=True):
        if not (stamp.is_file() and stamp.read_text() == digest):
            with step("Building the functions and layers"):
                shutil.rmtree(LOCAL_BUILD, ignore_errors=True)
                command: list[str | Path] = [SAM, "build", "--config-env", sam_profile(), "--build-dir", LOCAL_BUILD]
                run(command, environment(), "sam build")
                fit_the_emulator(LOCAL_BUILD)
            stamp.write_text(digest)
    return LOCAL_BUILD


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
