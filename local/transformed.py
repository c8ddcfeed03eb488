"""template.yaml as CloudFormation gets it: transformed by SAM's own translator, then linted, place by place.

`make check` runs it by the SAM CLI's Python, which has the translator and cfn-lint. A linter of the template itself
does not see what SAM makes of it. And no linter says that CloudFormation refuses a null, at whatever depth.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped] # cfn-lint ships no types
from cfnlint.decode import decode  # type: ignore[import-untyped] # cfn-lint ships no types
from samtranslator.translator.transform import transform

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
logging.getLogger("samtranslator").setLevel(logging.ERROR)
REGIONS = ("eu-west-1", "us-east-1", "ap-southeast-2", "cn-north-1")
"""Three regions, and one of another partition."""
OTHERS = {
    "Architecture": "x86_64",
    "AuthMode": "JWT",
    "JwtIssuer": "https://issuer.example.com/",
    "JwtAudience": "eventfold",
    "EventsWarmWrites": "8000",
    "ReadModelsWarmWrites": "16000",
    "ExportBucket": "exports",
    "ExportKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/1",
    "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms",
    "Tracing": "Active",
    "EventsStreamArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/events/stream/2026-01-01T00:00:00.000",
    "BasePath": "/v1",
    "CorsOrigins": "https://app.example.com,https://example.com",
    "EndpointUrl": "http://localhost:4566",
    "ProvisionedConcurrency": "2",
    "ReservedConcurrency": "5",
    "BatchesPerShard": "1",
}
"""With the defaults, each condition is met once and once not."""
UPLOADED = "s3://bucket/key"
"""What `sam deploy` puts in the place of a folder."""


class NoPolicies:
    """SAM asks IAM for the managed policies that a template names: this one names none but by ARN."""

    def load(self) -> dict[str, str]:
        """Return none."""
        return {}


def packaged(folder: Path) -> dict[str, Any]:
    """Return the template with its folders uploaded, and the state machine's definition in its place."""
    template: dict[str, Any] = decode(str(folder / "template.yaml"))[0]
    template = json.loads(json.dumps(template))
    for resource in template["Resources"].values():
        found = resource["Properties"]
        for name in ("CodeUri", "ContentUri"):
            if name in found:
                found[name] = UPLOADED
        if definition := found.pop("DefinitionUri", None):
            found["Definition"] = json.loads(json.dumps(decode(str(folder / definition))[0]))
    return template


def nulls(value: object, place: str = "template") -> Iterator[str]:
    """Yield where there is a null."""
    if value is None:
        yield place
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from nulls(child, f"{place}.{key}")


def faults(folder: Path, region: str, parameters: dict[str, str]) -> Iterator[str]:
    """Yield what CloudFormation would refuse in a region, with these parameters."""
    os.environ["AWS_DEFAULT_REGION"] = region  # the translator chooses the partition by it
    template = packaged(folder)
    for place in nulls(template):
        yield f"{place} is null, which CloudFormation refuses"
    defaults = {name: one["Default"] for name, one in template["Parameters"].items() if "Default" in one}
    output = transform(template, defaults | parameters, NoPolicies())
    for place in nulls(output):
        yield f"{place} is null once SAM has transformed it, which CloudFormation refuses"
    for resource in output["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":  # SAM joins it from lines, which nobody can lint.
            del resource["Properties"]["DefinitionString"]
            resource["Properties"]["Definition"] = template["Resources"]["RebuildStateMachine"]["Properties"][
                "Definition"
            ]
    for match in lint(json.dumps(output), config=ManualArgs(regions=[region])):
        yield f"{match.rule.id} {match.message} ({'/'.join(map(str, match.path or []))})"


def main(folder: Path, *regions: str) -> int:
    """Check a folder's template in each region with each set of parameters; 1 if anything is wrong."""
    regions = regions or REGIONS
    found = {
        f"{region}: {fault}"
        for region in regions
        for more in ({}, OTHERS, {"SnapStart": "PublishedVersions"})
        for fault in faults(folder, region, dict(more))
    }
    for fault in sorted(found):
        print(f"✗ {fault}")
    if not found:
        print(f"template.yaml, transformed: nothing to refuse in {', '.join(regions)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else ROOT, *sys.argv[2:]))
