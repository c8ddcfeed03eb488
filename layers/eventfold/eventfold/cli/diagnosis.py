"""What is wrong with a deployed stack: each answer of AWS held against what the template declares."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from eventfold.cli.expected import as_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

type Level = Literal["ok", "warn", "fail", "not told here"]

DEPLOY = "Deploy again: make deploy"
BEHIND_SECONDS = 60
"""The alarm on lag goes off here."""

_SETTINGS = (
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "ParallelizationFactor",
    "FunctionResponseTypes",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "EventSourceArn",
)


@dataclass(frozen=True)
class Line:
    """One thing that was looked at: how it is, and what to do where it is not well."""

    level: Level
    about: str
    what: str
    todo: str = ""


def table_lines(name: str, declared: Mapping[str, Any], actual: Mapping[str, Any]) -> Iterator[Line]:
    """Judge a table's keys, indexes and stream."""
    if _keys(declared) != _keys(actual):
        yield Line("fail", name, "its keys are not the template's", "A table's keys can't be changed: export, redeploy")
    else:
        yield Line("ok", name, "keys and indexes")
    if actual.get("TableStatus") != "ACTIVE":
        yield Line("warn", name, f"is {actual.get('TableStatus')}", "Wait until it is ACTIVE")
    if wanted := declared.get("StreamSpecification"):
        stream = actual.get("StreamSpecification", {})
        if stream.get("StreamEnabled") and stream.get("StreamViewType") == wanted["StreamViewType"]:
            yield Line("ok", name, f"stream with {wanted['StreamViewType']}")
        else:
            yield Line("fail", name, "its stream is off, or of another view: nothing follows the events", DEPLOY)


def _keys(table: Mapping[str, Any]) -> object:
    def keys(one: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((key["AttributeName"], key["KeyType"]) for key in one["KeySchema"]))

    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    return keys(table), types, {one["IndexName"]: keys(one) for one in table.get("GlobalSecondaryIndexes") or ()}


def protection_line(actual: Mapping[str, Any], *, wanted: bool, local: bool) -> Line:
    """Judge whether the event table can be deleted by mistake."""
    if str(actual.get("DeletionProtectionEnabled", False)).lower() == "true":
        return Line("ok", "EventsTable", "protected from deletion")
    if local and not wanted:
        return Line("ok", "EventsTable", "not protected from deletion, as the local profile says")
    return Line("warn", "EventsTable", "not protected from deletion", "Deploy with DeletionProtection=true")


def recovery_line(name: str, backups: Mapping[str, Any], *, local: bool) -> Line:
    """Judge point-in-time recovery."""
    if local:
        return Line("not told here", name, "point-in-time recovery: an emulator has none")
    status = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    if status == "ENABLED":
        return Line("ok", name, "point-in-time recovery")
    return Line("fail", name, "point-in-time recovery is off", DEPLOY)


def mapping_lines(name: str, wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> Iterator[Line]:
    """Judge a stream mapping: that it runs, and as the template says. `wanted` is resolved."""
    if actual.get("State") != "Enabled":
        todo = f"aws lambda update-event-source-mapping --enabled --uuid {actual.get('UUID')}"
        yield Line("fail", name, f"is {actual.get('State')}: its function does not follow the events", todo)
    else:
        yield Line("ok", name, "enabled")
    different = [one for one in _SETTINGS if one in wanted and str(wanted[one]) != str(actual.get(one))]
    if _patterns(wanted) != _patterns(actual):
        different.append("FilterCriteria")
    if wanted["DestinationConfig"]["OnFailure"] != (actual.get("DestinationConfig") or {}).get("OnFailure"):
        different.append("DestinationConfig")
    if wanted["FunctionName"] != actual.get("FunctionArn", "").rpartition(":")[2]:
        different.append("FunctionName")
    if different:
        yield Line("fail", name, f"not as the template says: {', '.join(different)}", DEPLOY)
    else:
        yield Line("ok", name, "settings")
    if "PROBLEM" in (result := actual.get("LastProcessingResult") or ""):
        yield Line("warn", name, f"its last batch failed: {result}", "Read its function's log")


def _patterns(mapping: Mapping[str, Any]) -> list[Any]:
    filters = (mapping.get("FilterCriteria") or {}).get("Filters") or []
    return sorted((json.loads(one["Pattern"]) for one in filters), key=str)


def environment_line(name: str, wanted: Mapping[str, str], actual: Mapping[str, str]) -> Line:
    """Judge whether a function works on this stack's tables, with the template's settings."""
    different = sorted(one for one in wanted if wanted[one] != actual.get(one))
    if different:
        return Line("fail", name, f"its environment is another: {', '.join(different)}", DEPLOY)
    return Line("ok", name, "environment")


def rights_line(name: str, wanted: Iterable[tuple[str, str]], statements: Iterable[Mapping[str, Any]]) -> Line:
    """Judge whether a function may do what the template gives it."""
    given = list(statements)
    missing = sorted(
        f"{action} on {_short(resource)}" for action, resource in wanted if not _may(action, resource, given)
    )
    if missing:
        return Line("fail", name, f"may not {'; '.join(missing)}", DEPLOY)
    return Line("ok", name, "rights")


def _may(action: str, resource: str, statements: Iterable[Mapping[str, Any]]) -> bool:
    """Whether some statement allows it and none denies it. Conditions are not weighed: the template has none."""
    effects = {
        statement["Effect"]
        for statement in statements
        if any(fnmatchcase(action.lower(), one.lower()) for one in as_list(statement.get("Action", [])))
        and any(fnmatchcase(resource, one) for one in as_list(statement.get("Resource", [])))
    }
    return effects == {"Allow"}


def _short(arn: str) -> str:
    return arn.split(":", 5)[-1]


def lag_line(name: str, ages: Iterable[float], *, local: bool) -> Line:
    """Judge how far a function is behind the events; `ages` are in milliseconds."""
    worst = max(ages, default=None)
    if worst is None:
        if local:
            return Line("not told here", name, "lag: an emulator measures none")
        return Line("ok", name, "lag: nothing came in the last 15 minutes")
    if worst / 1000 > BEHIND_SECONDS:
        return Line("fail", name, f"was {worst / 1000:,.0f} s behind in the last 15 minutes", "Read its function's log")
    return Line("ok", name, f"lag: {worst / 1000:,.1f} s at the most in the last 15 minutes")


def parked_line(waiting: int) -> Line:
    """Judge whether streams are parked."""
    if waiting:
        return Line("warn", "parked", f"{waiting:,} streams wait", "eventfold parked list says why")
    return Line("ok", "parked", "no stream is parked")
