"""A Lambda event source mapping of a DynamoDB stream: its settings, read from the template that deploys it.

The parameters: https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html
The filter syntax: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import json
import operator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import yaml  # type: ignore[import-untyped] # ships no types

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_FOREVER = -1
_READ = {
    "BatchSize",
    "BisectBatchOnFunctionError",
    "FilterCriteria",
    "FunctionResponseTypes",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "StartingPosition",
}
# What changes no outcome in a test: where records come from, who gets them, how long a batch may wait to fill.
_WITHOUT_EFFECT = {
    "DestinationConfig",
    "Enabled",
    "EventSourceArn",
    "FunctionName",
    "MaximumBatchingWindowInSeconds",
    "MetricsConfig",
    "Tags",
}


class UnsupportedMappingError(ValueError):
    """The mapping asks for something that is not simulated: better no test than one of another mapping."""


@dataclass(frozen=True)
class EventSourceMapping:
    """What decides how a function gets a stream's records. The defaults are Lambda's own; -1 is "for ever"."""

    batch_size: int = 100
    parallelization_factor: int = 1
    bisect: bool = False
    partial_responses: bool = False
    maximum_retry_attempts: int = _FOREVER
    maximum_record_age: int = _FOREVER
    """Seconds."""
    filters: tuple[Mapping[str, Any], ...] = ()
    """Event patterns, of which one has to match; a record that none matches is dropped. Without patterns all match."""

    @classmethod
    def from_template(cls, template: Path, resource: str) -> Self:
        """Read an `AWS::Lambda::EventSourceMapping` out of a CloudFormation template.

        Raises:
            UnsupportedMappingError: a property is not known here, or the stream is not read from its start.
        """
        properties = resource_properties(template, resource)
        if unknown := properties.keys() - _READ - _WITHOUT_EFFECT:
            raise UnsupportedMappingError(f"{resource}: {', '.join(sorted(unknown))}")
        if properties.get("StartingPosition") != "TRIM_HORIZON":
            raise UnsupportedMappingError(f"{resource}: StartingPosition {properties.get('StartingPosition')}")
        filters = properties.get("FilterCriteria", {}).get("Filters", [])
        return cls(
            batch_size=properties.get("BatchSize", 100),
            parallelization_factor=properties.get("ParallelizationFactor", 1),
            bisect=properties.get("BisectBatchOnFunctionError", False),
            partial_responses="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", []),
            maximum_retry_attempts=properties.get("MaximumRetryAttempts", _FOREVER),
            maximum_record_age=properties.get("MaximumRecordAgeInSeconds", _FOREVER),
            filters=tuple(json.loads(one["Pattern"]) for one in filters),
        )

    def lets_through(self, record: Mapping[str, Any]) -> bool:
        """Whether the function gets to see a record."""
        return not self.filters or any(_matches(pattern, record) for pattern in self.filters)


def resource_properties(template: Path, resource: str) -> Mapping[str, Any]:
    """Return a resource's properties as a CloudFormation template declares them, a parameter's default in its place."""
    parsed = _parsed(template.read_text(encoding="utf-8"))
    defaults = {
        f"!Ref {name}": one["Default"] for name, one in parsed.get("Parameters", {}).items() if "Default" in one
    }
    properties: Mapping[str, Any] = parsed["Resources"][resource]["Properties"]
    return {name: defaults.get(value, value) if isinstance(value, str) else value for name, value in properties.items()}


@cache
def _parsed(template: str) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = yaml.load(template, Loader=_Loader)  # noqa: S506 - a SafeLoader
    return parsed


def _matches(pattern: Mapping[str, Any], event: object) -> bool:
    values = event if isinstance(event, dict) else {}
    return all(
        _matches(wanted, values.get(name))
        if isinstance(wanted, dict)
        else any(_accepts(rule, name in values, values.get(name)) for rule in wanted)
        for name, wanted in pattern.items()
    )


def _accepts(rule: object, present: bool, value: object) -> bool:  # noqa: FBT001 - the second half of the value
    if not isinstance(rule, dict):
        return present and type(value) is type(rule) and value == rule
    ((name, operand),) = rule.items()
    if name == "exists":
        # Works on leaves alone, so a nested object counts as absent.
        return operand is (present and not isinstance(value, dict))
    if name not in _RULES:
        raise UnsupportedMappingError(f"the filter rule {name!r}")
    return present and _RULES[name](value, operand)


def _in_range(value: object, bounds: list[Any]) -> bool:
    compare = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return all(compare[sign](value, bound) for sign, bound in zip(bounds[::2], bounds[1::2], strict=True))


def _is_none_of(value: object, others: object) -> bool:
    return value not in (others if isinstance(others, list) else [others])


def _starts_with(value: object, prefix: str) -> bool:
    return isinstance(value, str) and value.startswith(prefix)


_RULES: Mapping[str, Callable[[Any, Any], bool]] = {
    "anything-but": _is_none_of,
    "numeric": _in_range,
    "prefix": _starts_with,
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # ships no types
    """Reads CloudFormation's YAML; what `!Ref` and its like refer to is of no interest here."""


def _intrinsic(_: _Loader, suffix: str, node: yaml.Node) -> str:
    return f"!{suffix} {node.value}"


_Loader.add_multi_constructor("!", _intrinsic)
