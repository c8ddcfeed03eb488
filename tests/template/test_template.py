"""What template.yaml promises: who may do what, what is closed, what is kept, what reaches which function."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cfnlint.decode import decode  # type: ignore[import-untyped] # cfn-lint ships no types

from app.settings import Settings
from eventfold import Commit, Snapshot, StoredEvent
from eventfold.items import commit_to_item, snapshot_to_item

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TEMPLATE: dict[str, Any] = decode(str(Path(__file__).parents[2] / "template.yaml"))[0]
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]

ROUTES = {
    "POST /users": "CommandsFunction",
    "PATCH /users/{id}": "CommandsFunction",
    "DELETE /users/{id}": "CommandsFunction",
    "GET /users": "QueriesFunction",
    "GET /users/{id}": "QueriesFunction",
    "GET /users/{id}/events": "QueriesFunction",
    "GET /users/{id}/state": "QueriesFunction",
    "GET /stats": "QueriesFunction",
}
FUNCTIONS = ("CommandsFunction", "QueriesFunction", "ProjectionsFunction", "SnapshotsFunction", "RedriveFunction")
MAPPINGS = {"ProjectionsMapping": "ProjectionsFunction", "SnapshotsMapping": "SnapshotsFunction"}
TABLES = ("EventsTable", "ReadModelsTable", "ParkedTable")

STREAM_SECONDS = 24 * 60 * 60
"""How long DynamoDB keeps a stream record."""

READS = {"dynamodb:Query", "dynamodb:GetItem", "dynamodb:BatchGetItem"}
READS_STREAM = {
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
}


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
    """Return what an intrinsic points at in this template, as `Name.Attribute` and what follows."""
    if "Fn::GetAtt" in value:
        return ".".join(many(value["Fn::GetAtt"]))
    return re.sub(r"^\$\{([A-Za-z.]+)\}", r"\1", value["Fn::Sub"])


def statements(function: str) -> Iterator[dict[str, Any]]:
    """Yield the statements of a function's role."""
    for policy in properties(function)["Policies"]:
        yield from policy["Statement"]


def rights(function: str) -> set[tuple[str, str]]:
    """Return a function's rights: an action and the resource it is allowed on."""
    return {
        (action, target(resource))
        for statement in statements(function)
        for action in many(statement["Action"])
        for resource in many(statement["Resource"])
    }


# Routes ---------------------------------------------------------------------------------------------------------------


def test_routes_are_those_of_the_http_table() -> None:
    """No more routes than documented, each with its function."""
    integrations = {
        name: target(found["IntegrationUri"]) for name, found in of_type("AWS::ApiGatewayV2::Integration").items()
    }
    found = {
        route["RouteKey"]: integrations[target(route["Target"]).partition("${")[2].rstrip("}")]
        for route in of_type("AWS::ApiGatewayV2::Route").values()
    }
    assert found == {route: f"{function}.Arn" for route, function in ROUTES.items()}


def test_routes_are_closed_by_default() -> None:
    """Every route asks what AuthMode says, and AuthMode says AWS_IAM unless told otherwise."""
    assert TEMPLATE["Parameters"]["AuthMode"]["Default"] == "AWS_IAM"
    for route in of_type("AWS::ApiGatewayV2::Route").values():
        assert route["AuthorizationType"] == {"Ref": "AuthMode"}
        assert route["AuthorizerId"] == {"Fn::If": ["UsesJwt", {"Ref": "JwtAuthorizer"}, {"Ref": "AWS::NoValue"}]}


def test_there_is_no_other_way_in() -> None:
    """No function URL, no second API, no catch-all route; API Gateway may call for this API's own routes alone."""
    assert len(of_type("AWS::ApiGatewayV2::Api")) == 1
    assert not of_type("AWS::Lambda::Url")
    assert not any("FunctionUrlConfig" in properties(function) for function in FUNCTIONS)
    permissions = of_type("AWS::Lambda::Permission")
    redrive = permissions.pop("RedrivePermission")
    assert (redrive["Principal"], target(redrive["SourceArn"])) == ("events.amazonaws.com", "RedriveSchedule.Arn")
    assert {found["FunctionName"]["Ref"] for found in permissions.values()} == set(ROUTES.values())
    for found in permissions.values():
        assert found["Principal"] == "apigateway.amazonaws.com"
        assert re.search(r":\$\{HttpApi\}/\*/[A-Z*]+/(users\*|stats)$", found["SourceArn"]["Fn::Sub"])


def test_stage_is_throttled_and_logged() -> None:
    """A flood costs a bounded amount, and leaves a trace."""
    stage = properties("DefaultStage")
    assert stage["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": {"Ref": "ThrottlingRate"},
        "ThrottlingBurstLimit": {"Ref": "ThrottlingBurst"},
    }
    json.loads(stage["AccessLogSettings"]["Format"])


# Rights ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_rights_name_actions_and_resources(function: str) -> None:
    """No wildcard, nothing outside this template, and no managed policy but the two that SAM always adds."""
    assert "Events" not in properties(function), "SAM would add a policy that reads every stream of the account"
    assert all(set(policy) == {"Statement"} for policy in properties(function)["Policies"])
    for statement in statements(function):
        assert statement["Effect"] == "Allow"
        assert set(statement) == {"Effect", "Action", "Resource"}
    for action, resource in rights(function):
        assert "*" not in action
        assert resource.partition(".")[0] in RESOURCES
        # In a bucket, the objects' names are Lambda's to choose.
        assert "*" not in resource.removesuffix("/*" if resource.startswith("FailuresBucket") else "")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nobody_may_change_or_remove_an_event(function: str) -> None:
    """The event table is read by key and appended to."""
    on_events = {action for action, resource in rights(function) if resource == "EventsTable.Arn"}
    assert on_events <= {"dynamodb:Query", "dynamodb:PutItem"}


def test_writers_are_few() -> None:
    """Commands and snapshots write the event table; projections and redrive the read models; queries nothing."""
    writers = {
        (function, resource)
        for function in FUNCTIONS
        for action, resource in rights(function)
        if action not in READS | READS_STREAM and resource.partition(".")[0] in TABLES
    }
    assert writers == {
        ("CommandsFunction", "EventsTable.Arn"),
        ("SnapshotsFunction", "EventsTable.Arn"),
        ("ProjectionsFunction", "ReadModelsTable.Arn"),
        ("ProjectionsFunction", "ParkedTable.Arn"),
        ("RedriveFunction", "ReadModelsTable.Arn"),
        ("RedriveFunction", "ParkedTable.Arn"),
    }
    assert {action for action, _ in rights("QueriesFunction")} <= READS


@pytest.mark.parametrize("function", MAPPINGS.values())
def test_stream_functions_may_read_the_stream_and_set_batches_aside(function: str) -> None:
    """All that Lambda needs of the role to run the mapping: the emulator asks for none of it."""
    expected = {(action, "EventsTable.StreamArn") for action in READS_STREAM} | {
        ("s3:PutObject", "FailuresBucket.Arn/*"),
        ("s3:ListBucket", "FailuresBucket.Arn"),
    }
    assert expected <= rights(function)


# Tables and bucket ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_encrypted_and_recoverable(table: str) -> None:
    """Both can be brought back to any second of the last 35 days."""
    found = properties(table)
    assert found["SSESpecification"] == {"SSEEnabled": True}
    assert found["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert found["BillingMode"] == "PAY_PER_REQUEST"


def test_events_outlive_the_stack() -> None:
    """Neither deleting nor replacing the stack's table loses an event."""
    table = RESOURCES["EventsTable"]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert table["Properties"]["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    assert TEMPLATE["Parameters"]["DeletionProtection"]["Default"] == "true"
    assert "TimeToLiveSpecification" not in table["Properties"]


def test_failed_batches_are_kept_private() -> None:
    """They hold whole events: encrypted, not public, over TLS only, and not for ever."""
    bucket = properties("FailuresBucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"]
    (statement,) = properties("FailuresBucketPolicy")["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# Stream mappings ------------------------------------------------------------------------------------------------------


def test_every_mapping_is_listed_here() -> None:
    """DynamoDB Streams serve two readers a shard: a third mapping would be throttled."""
    found = of_type("AWS::Lambda::EventSourceMapping")
    assert {name: mapping["FunctionName"]["Ref"] for name, mapping in found.items()} == MAPPINGS


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_mappings_give_up_in_time_and_keep_the_batch(mapping: str) -> None:
    """Attempts and age are finite, and what is given up reaches the bucket before the stream drops it."""
    found = properties(mapping)
    assert target(found["EventSourceArn"]) == "EventsTable.StreamArn"
    assert found["StartingPosition"] == "TRIM_HORIZON"
    assert found["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert found["BisectBatchOnFunctionError"] is True
    assert 0 < found["MaximumRetryAttempts"] <= 100
    assert 0 < found["MaximumRecordAgeInSeconds"] < STREAM_SECONDS
    assert target(found["DestinationConfig"]["OnFailure"]["Destination"]) == "FailuresBucket.Arn"


NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = (StoredEvent(type="Happened", v=1, data={}),)
COMMIT = commit_to_item(Commit(stream="user-1", version=1, events=EVENTS, id="c", at=NOW))
DUE = commit_to_item(Commit(stream="user-1", version=50, events=EVENTS, id="c", at=NOW, snapshot_due=True))
SNAPSHOT = snapshot_to_item(Snapshot(stream="user-1", version=50, schema="1", state="{}", at=NOW))


@pytest.mark.parametrize(
    ("kind", "image", "projected", "snapshotted"),
    [
        pytest.param("INSERT", COMMIT, True, False, id="commit"),
        pytest.param("INSERT", DUE, True, True, id="commit that is due"),
        pytest.param("INSERT", SNAPSHOT, False, False, id="snapshot"),
        pytest.param("MODIFY", SNAPSHOT, False, False, id="snapshot written again"),
        pytest.param("REMOVE", None, False, False, id="removal"),
    ],
)
def test_filters(kind: str, image: Mapping[str, object] | None, projected: bool, snapshotted: bool) -> None:  # noqa: FBT001 - a table of cases
    """Projections are woken by commits, snapshots by commits that are due, nobody by a snapshot."""
    record = {"eventName": kind, "dynamodb": {"Keys": {}, **({"NewImage": image} if image else {})}}
    assert passes("ProjectionsMapping", record) is projected
    assert passes("SnapshotsMapping", record) is snapshotted


def passes(mapping: str, record: Mapping[str, Any]) -> bool:
    """Tell whether a mapping's filters let a record through: any pattern does."""
    filters = properties(mapping)["FilterCriteria"]["Filters"]
    return any(matches(json.loads(found["Pattern"]), record) for found in filters)


def matches(pattern: Mapping[str, Any], value: Any) -> bool:
    """Tell whether a value matches a pattern, as far as this template goes: equal values, and `exists`.

    Rules: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    """
    for key, rule in pattern.items():
        inner = value.get(key) if isinstance(value, dict) else None
        if isinstance(rule, dict):
            if not matches(rule, inner):
                return False
        elif rule == [{"exists": True}]:
            # True of leaves alone: an object does not "exist".
            if inner is None or isinstance(inner, dict):
                return False
        else:
            assert not any(isinstance(one, dict) for one in rule), f"not known here: {rule}"
            # Python's True equals 1, JSON's does not.
            if not any(one == inner and type(one) is type(inner) for one in rule):
                return False
    return True


# Functions ------------------------------------------------------------------------------------------------------------


def test_references_point_at_something() -> None:
    """cfn-lint does not look into what SAM transforms: functions, layers, globals."""
    known = {*RESOURCES, *TEMPLATE["Parameters"]}
    unknown = {name for name in references(TEMPLATE) if not name.startswith("AWS::")} - known
    assert not unknown


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
                    yield from re.findall(r"\$\{([A-Za-z:]+)", inner)
                case _:
                    yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_functions_get_every_setting() -> None:
    """What the code reads from its environment, the template sets."""
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    # An endpoint is for emulators, which set it themselves.
    assert {name.upper() for name in Settings.model_fields} - {"AWS_ENDPOINT_URL"} <= set(variables)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_logs_do_not_pile_up(function: str) -> None:
    """Each function has a log group of its own, with a retention."""
    group = properties(function)["LoggingConfig"]["LogGroup"]["Ref"]
    assert group == function.replace("Function", "Log")
    assert properties(group)["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_architecture_is_the_same_everywhere() -> None:
    """A layer built for another architecture than the function's fails on the first import only."""
    architecture = {"Ref": "Architecture"}
    assert TEMPLATE["Parameters"]["Architecture"]["Default"] == "arm64"
    assert TEMPLATE["Globals"]["Function"]["Architectures"] == [architecture]
    for name, layer in of_type("AWS::Serverless::LayerVersion").items():
        assert RESOURCES[name]["Metadata"]["BuildArchitecture"] == architecture
        assert layer["CompatibleArchitectures"] == [architecture]
