"""What template.yaml declares, with the names and addresses that a deployed stack has given it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

NO_VALUE = "AWS::NoValue"


@dataclass(frozen=True)
class Expected:
    """The template in a file, to be resolved for one stack.

    `parameters` are the stack's, `names` its resources' physical ids, and `arns` their addresses, by `Name.Arn` or
    another attribute.
    """

    file: Path
    parameters: Mapping[str, str]
    names: Mapping[str, str]
    arns: Mapping[str, str]

    @cached_property
    def template(self) -> dict[str, Any]:
        """The file, parsed."""
        from cfnlint.decode import decode  # type: ignore[import-untyped] # noqa: PLC0415 - its import takes two seconds

        parsed: dict[str, Any] = decode(str(self.file))[0]
        return parsed

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of all resources of a type, by name, as written."""
        resources = self.template["Resources"]
        return {name: found["Properties"] for name, found in resources.items() if found["Type"] == kind}

    def variables(self, function: str) -> dict[str, str]:
        """Return a function's environment."""
        shared = self.template["Globals"]["Function"]["Environment"]["Variables"]
        own = self.template["Resources"][function]["Properties"].get("Environment", {}).get("Variables", {})
        found = {name: self.resolved(value) for name, value in {**shared, **own}.items()}
        return {name: str(value) for name, value in found.items() if value != NO_VALUE}

    def rights(self, function: str) -> set[tuple[str, str]]:
        """Return a function's rights: an action, and the address of what it is allowed on."""
        policies = self.template["Resources"][function]["Properties"]["Policies"]
        return {
            (action, str(resource))
            for policy in self.resolved(policies)
            for statement in policy["Statement"]
            for action in as_list(statement["Action"])
            for resource in as_list(statement["Resource"])
        }

    def resolved(self, value: Any) -> Any:
        """Return a value with its intrinsic functions worked out; what the stack does not have stays a name."""
        if isinstance(value, list):
            return [one for one in map(self.resolved, value) if one != NO_VALUE]
        if not isinstance(value, dict):
            return value
        function = next(iter(value), "")
        if function == "Ref" or function.startswith("Fn::"):
            return self._worked_out(function, value[function])
        return {key: self.resolved(one) for key, one in value.items()}

    def _worked_out(self, function: str, argument: Any) -> Any:
        match function, argument:
            case "Fn::If", [condition, met, otherwise]:
                return self.resolved(met if self._is_met(self.template["Conditions"][condition]) else otherwise)
            case "Fn::Select", [number, of]:
                return self.resolved(of)[int(number)]
            case "Fn::Split", [separator, text]:
                return self.resolved(text).split(separator)
            case "Fn::Sub", text:
                return re.sub(r"\$\{([A-Za-z0-9.:]+)\}", lambda found: self._name(found[1]), text)
            case (("Ref" | "Fn::GetAtt"), name):
                return self._name(".".join(as_list(name)))
        raise ValueError(f"{function} is not worked out here")

    def _is_met(self, condition: Mapping[str, Any]) -> bool:
        ((function, arguments),) = condition.items()
        if function == "Fn::Not":
            return not self._is_met(arguments[0])
        if function == "Fn::Equals":
            one, other = map(self.resolved, arguments)
            return bool(one == other)
        raise ValueError(f"{function} in a condition")

    def _name(self, name: str) -> str:
        if name == "AWS::Partition":
            return partition_of(self.arns.values())
        defaults = {name: str(one["Default"]) for name, one in self.template["Parameters"].items() if "Default" in one}
        known = self.arns if "." in name else {**defaults, **self.names, **self.parameters}
        return known.get(name, name)


def partition_of(arns: Iterable[str]) -> str:
    """Return the partition of AWS that resources are in, by their addresses."""
    return next((arn.split(":")[1] for arn in arns if arn), "aws")


def as_list(value: Any) -> list[Any]:
    """Return a list, where CloudFormation takes one or many."""
    return value if isinstance(value, list) else [value]
