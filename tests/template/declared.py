"""template.yaml as tests read it: its resources, what they refer to, and each function's rights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.support import template

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = template()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]

FUNCTIONS = (
    "CommandsFunction",
    "QueriesFunction",
    "ProjectionsFunction",
    "SnapshotsFunction",
    "RedriveFunction",
    "RebuildFunction",
)
MAPPINGS = {"ProjectionsMapping": "ProjectionsFunction", "SnapshotsMapping": "SnapshotsFunction"}
TABLES = ("EventsTable", "ReadModelsTable", "ParkedTable", "ClaimsTable")


def properties(name: str) -> dict[str, Any]:
    """Return a resource's properties."""
    found: dict[str, Any] = RESOURCES[name]["Properties"]
    return found


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all resources of a type, by name."""
    return {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}


def many(value: object) -> list[Any]:
    """Return a list, where CloudFormation takes one or many."""
    return value if isinstance(value, list) else [value]


def target(value: Any) -> str:
    """Return what an intrinsic points at in this template, as `Name.Attribute` and what follows; the own of two tables."""
    if "Fn::If" in value:
        condition, own, _ = value["Fn::If"]
        assert condition in {"OwnsEvents", "OwnsClaimsKey"}
        return target(own)
    if "Ref" in value:
        return str(value["Ref"])
    if "Fn::GetAtt" in value:
        return ".".join(many(value["Fn::GetAtt"]))
    return re.sub(r"^\$\{([A-Za-z.]+)\}", r"\1", value["Fn::Sub"])


def policies(function: str) -> Iterator[dict[str, Any]]:
    """Yield the policies of a function's role; with the condition met, where one hangs on it."""
    for policy in properties(function)["Policies"]:
        _, met, otherwise = policy.get("Fn::If", ("", policy, {"Ref": "AWS::NoValue"}))
        assert otherwise == {"Ref": "AWS::NoValue"}
        yield met


def statements(function: str) -> Iterator[dict[str, Any]]:
    """Yield the statements of a function's role."""
    for policy in policies(function):
        yield from policy["Statement"]


def rights(function: str) -> set[tuple[str, str]]:
    """Return a function's rights: an action and the resource it is allowed on."""
    return {
        (action, target(resource))
        for statement in statements(function)
        for action in many(statement["Action"])
        for resource in many(statement["Resource"])
    }


def references(value: object) -> Iterator[str]:
    """Yield every name that an intrinsic refers to."""
    if isinstance(value, dict):
        for key, inner in value.items():
            match key:
                case "Ref":
                    yield inner
                case "Fn::GetAtt":
                    yield many(inner)[0].partition(".")[0]
                case "Fn::Sub":
                    text, *more = many(inner)
                    named = set(more[0]) if more else set()
                    yield from (name for name in re.findall(r"\$\{([A-Za-z:]+)", text) if name not in named)
                    yield from references(more)
                case _:
                    yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)
