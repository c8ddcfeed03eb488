"""The doctor's judgements: each fault of a deployed stack, and that a stack as declared has none."""

from __future__ import annotations

import json
from copy import replace
from typing import TYPE_CHECKING, Any

import pytest

from eventfold.cli.diagnosis import (
    environment_line,
    lag_line,
    mapping_lines,
    parked_line,
    protection_line,
    recovery_line,
    rights_line,
    table_lines,
)
from eventfold.cli.expected import Expected
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

ARN = "arn:aws:dynamodb:eu-west-1:1:table/"
NAMES = {
    "EventsTable": "events",
    "ReadModelsTable": "read-models",
    "ParkedTable": "parked",
    "ProjectionsFunction": "projections",
}
EXPECTED = Expected(
    ROOT / "template.yaml",
    {"SnapshotEvery": "7"},
    NAMES,
    {
        "EventsTable.Arn": f"{ARN}events",
        "EventsTable.StreamArn": f"{ARN}events/stream/1",
        "ReadModelsTable.Arn": f"{ARN}read-models",
        "ParkedTable.Arn": f"{ARN}parked",
        "FailuresBucket.Arn": "arn:aws:s3:::failures",
    },
)
TABLES = EXPECTED.of_type("AWS::DynamoDB::Table")
MAPPING = EXPECTED.resolved(EXPECTED.of_type("AWS::Lambda::EventSourceMapping")["ProjectionsMapping"])


def levels(lines: Any) -> list[str]:
    return [line.level for line in lines]


def deployed_table(name: str, **changes: Any) -> dict[str, Any]:
    declared = TABLES[name]
    stream = declared.get("StreamSpecification")
    found = {**declared, "TableStatus": "ACTIVE"}
    if stream:
        found["StreamSpecification"] = {**stream, "StreamEnabled": True}
    return {**found, **changes}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_as_declared(name: str) -> None:
    assert set(levels(table_lines(name, TABLES[name], deployed_table(name)))) == {"ok"}


@pytest.mark.parametrize(
    ("name", "changes", "level"),
    [
        ("EventsTable", {"KeySchema": [{"AttributeName": "stream", "KeyType": "HASH"}]}, "fail"),
        ("EventsTable", {"StreamSpecification": {"StreamEnabled": False}}, "fail"),
        ("EventsTable", {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}}, "fail"),
        ("EventsTable", {"TableStatus": "UPDATING"}, "warn"),
        ("ReadModelsTable", {"GlobalSecondaryIndexes": []}, "fail"),
    ],
)
def test_a_table_that_is_not_as_declared(name: str, changes: Mapping[str, Any], level: str) -> None:
    found = [line for line in table_lines(name, TABLES[name], deployed_table(name, **changes)) if line.level != "ok"]
    assert levels(found) == [level]
    assert found[0].todo


def test_protection_and_recovery() -> None:
    assert protection_line({"DeletionProtectionEnabled": True}, wanted=True, local=False).level == "ok"
    assert protection_line({"DeletionProtectionEnabled": False}, wanted=True, local=False).level == "warn"
    assert protection_line({}, wanted=False, local=False).level == "warn"
    assert protection_line({"DeletionProtectionEnabled": "false"}, wanted=False, local=True).level == "ok"
    for status, level in (("ENABLED", "ok"), ("DISABLED", "fail")):
        backups = {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": status}}
        assert recovery_line("EventsTable", backups, local=False).level == level
        assert recovery_line("EventsTable", backups, local=True).level == "not told here"


def deployed_mapping(**changes: Any) -> dict[str, Any]:
    function = {"FunctionArn": "arn:aws:lambda:eu-west-1:1:function:projections"}
    return {**MAPPING, **function, "State": "Enabled", "UUID": "1", **changes}


def test_a_mapping_as_declared() -> None:
    pattern = json.dumps(json.loads(MAPPING["FilterCriteria"]["Filters"][0]["Pattern"]), indent=2)
    same = deployed_mapping(FilterCriteria={"Filters": [{"Pattern": pattern}]})
    assert levels(mapping_lines("ProjectionsMapping", MAPPING, same)) == ["ok", "ok"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"State": "Disabled"}, "is Disabled"),
        ({"BatchSize": 1}, "BatchSize"),
        ({"MaximumRetryAttempts": -1}, "MaximumRetryAttempts"),
        ({"MaximumRecordAgeInSeconds": -1}, "MaximumRecordAgeInSeconds"),
        ({"FunctionResponseTypes": []}, "FunctionResponseTypes"),
        ({"BisectBatchOnFunctionError": False}, "BisectBatchOnFunctionError"),
        ({"EventSourceArn": f"{ARN}events/stream/0"}, "EventSourceArn"),
        ({"FilterCriteria": None}, "FilterCriteria"),
        ({"DestinationConfig": None}, "DestinationConfig"),
        ({"FunctionArn": "arn:aws:lambda:eu-west-1:1:function:other"}, "FunctionName"),
    ],
)
def test_a_mapping_that_is_not_as_declared(changes: Mapping[str, Any], what: str) -> None:
    (found,) = (
        line for line in mapping_lines("ProjectionsMapping", MAPPING, deployed_mapping(**changes)) if line.level != "ok"
    )
    assert found.level == "fail"
    assert what in found.what


def test_a_mapping_whose_last_batch_failed() -> None:
    lines = mapping_lines("ProjectionsMapping", MAPPING, deployed_mapping(LastProcessingResult="PROBLEM: ..."))
    assert levels(lines) == ["ok", "ok", "warn"]


def test_an_environment() -> None:
    wanted = EXPECTED.variables("ProjectionsFunction")
    assert (wanted["EVENTS_TABLE"], wanted["SNAPSHOT_EVERY"]) == ("events", "7")
    assert environment_line("ProjectionsFunction", wanted, {**wanted, "MORE": "1"}).level == "ok"
    found = environment_line("ProjectionsFunction", wanted, {**wanted, "EVENTS_TABLE": "other"})
    assert (found.level, "EVENTS_TABLE" in found.what) == ("fail", True)


def test_rights() -> None:
    function = "ProjectionsFunction"
    wanted = EXPECTED.rights(function)
    assert ("s3:PutObject", "arn:aws:s3:::failures/*") in wanted
    policies = EXPECTED.resolved(EXPECTED.template["Resources"][function]["Properties"]["Policies"])
    statements = [statement for policy in policies for statement in policy["Statement"]]
    assert rights_line(function, wanted, statements).level == "ok"
    assert rights_line(function, wanted, [{"Effect": "Allow", "Action": "*", "Resource": "*"}]).level == "ok"
    denied = [*statements, {"Effect": "Deny", "Action": ["dynamodb:Put*"], "Resource": [f"{ARN}*"]}]
    for some in (denied, [one for one in statements if "dynamodb:PutItem" not in one["Action"]]):
        found = rights_line(function, wanted, some)
        assert found.level == "fail"
        assert "dynamodb:PutItem on table/read-models" in found.what
    elsewhere = [{**one, "Resource": f"{ARN}other"} for one in statements]
    assert rights_line(function, wanted, elsewhere).level == "fail"


def test_a_right_that_hangs_on_a_parameter() -> None:
    assert not [right for right in EXPECTED.rights("RebuildFunction") if right[0] == "s3:GetObject"]
    reads = replace(EXPECTED, parameters={"ExportBucket": "exports"})
    assert ("s3:GetObject", "arn:aws:s3:::exports/*") in reads.rights("RebuildFunction")


def test_lag_and_parked_streams() -> None:
    assert lag_line("f", [10, 59_000], local=False).level == "ok"
    assert lag_line("f", [10, 61_000], local=False).level == "fail"
    assert lag_line("f", [], local=False).level == "ok"
    assert lag_line("f", [], local=True).level == "not told here"
    assert parked_line(0).level == "ok"
    assert parked_line(2).level == "warn"
