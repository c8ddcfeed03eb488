"""What template.yaml promises: which routes there are, that they are closed, and who may do what."""

from __future__ import annotations

import json
import re

import pytest

from tests.template.declared import (
    FUNCTIONS,
    MAPPINGS,
    RESOURCES,
    TABLES,
    TEMPLATE,
    of_type,
    policies,
    properties,
    rights,
    statements,
    target,
)

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
READS = {"dynamodb:Query", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Scan"}
EXPORTS = "arn:${AWS::Partition}:s3:::${ExportBucket}/*"
"""The one thing outside this template, named by a parameter."""
READS_STREAM = {
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
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
    """No wildcard, nothing outside this template but an export, no managed policy but the two that SAM always adds."""
    assert "Events" not in properties(function), "SAM would add a policy that reads every stream of the account"
    assert all(set(policy) == {"Statement"} for policy in policies(function))
    for statement in statements(function):
        assert statement["Effect"] == "Allow"
        assert set(statement) == {"Effect", "Action", "Resource"}
    for action, resource in rights(function):
        assert "*" not in action
        assert resource == EXPORTS or resource.partition(".")[0] in RESOURCES
        # In a bucket, the objects' names are others' to choose.
        assert "*" not in resource.removesuffix("/*" if resource.startswith(("FailuresBucket", EXPORTS)) else "")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nobody_may_change_or_remove_an_event(function: str) -> None:
    """The event table is read and appended to."""
    on_events = {action for action, resource in rights(function) if resource == "EventsTable.Arn"}
    assert on_events <= {"dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem"}


def test_writers_are_few() -> None:
    """Commands and snapshots write the event table; projections, redrive, rebuild the read models; queries nothing."""
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
        ("RebuildFunction", "ReadModelsTable.Arn"),
        ("RebuildFunction", "ParkedTable.Arn"),
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
