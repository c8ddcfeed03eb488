"""What template.yaml promises: which routes there are, that they are closed, and who may do what."""

from __future__ import annotations

import json

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
)

ROUTES = {
    "POST /{proxy+}": "CommandsFunction",
    "PATCH /{proxy+}": "CommandsFunction",
    "DELETE /{proxy+}": "CommandsFunction",
    "GET /{proxy+}": "QueriesFunction",
}
READS = {"dynamodb:Query", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Scan"}
EXPORTS = "arn:${AWS::Partition}:s3:::${ExportBucket}/*"
"""The one thing outside this template, named by a parameter."""
READS_KEY = "secretsmanager:GetSecretValue"
READS_STREAM = {
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
}


# Routes ---------------------------------------------------------------------------------------------------------------


def test_what_changes_something_goes_to_the_commands_and_what_reads_to_the_queries() -> None:
    found = {
        f"{event['Properties']['Method']} {event['Properties']['Path']}": function
        for function in FUNCTIONS
        for event in properties(function).get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }
    assert found == ROUTES


def test_routes_are_closed_by_default() -> None:
    """Every route asks for a caller unless AuthMode is NONE, and AuthMode is AWS_IAM unless told otherwise."""
    assert TEMPLATE["Parameters"]["AuthMode"]["Default"] == "AWS_IAM"
    assert TEMPLATE["Conditions"]["Open"] == {"Fn::Equals": [{"Ref": "AuthMode"}, "NONE"]}
    assert TEMPLATE["Conditions"]["UsesJwt"] == {"Fn::Equals": [{"Ref": "AuthMode"}, "JWT"]}
    body = properties("HttpApi")["DefinitionBody"]
    asked = {
        f"{method.upper()} {path}": operation["security"]
        for path, operations in body["paths"].items()
        for method, operation in operations.items()
    }
    assert asked.keys() == ROUTES.keys()
    assert all(one == {"Fn::If": ["Open", {"Ref": "AWS::NoValue"}, [{"Caller": []}]]} for one in asked.values())
    condition, jwt, iam = body["components"]["securitySchemes"]["Caller"]["Fn::If"]
    assert condition == "UsesJwt"
    assert jwt["x-amazon-apigateway-authorizer"]["jwtConfiguration"] == {
        "issuer": {"Ref": "JwtIssuer"},
        "audience": [{"Ref": "JwtAudience"}],
    }
    assert iam["x-amazon-apigateway-authtype"] == "awsSigv4"


def test_no_page_may_call_from_a_browser_unless_its_origin_is_named() -> None:
    """Closed by default: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html."""
    assert TEMPLATE["Parameters"]["CorsOrigins"]["Default"] == ""
    assert TEMPLATE["Conditions"]["HasCors"] == {
        "Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "CorsOrigins"}]}, ""]}]
    }
    condition, cors, otherwise = properties("HttpApi")["DefinitionBody"]["x-amazon-apigateway-cors"]["Fn::If"]
    assert (condition, otherwise) == ("HasCors", {"Ref": "AWS::NoValue"})
    assert cors["allowOrigins"] == {"Ref": "CorsOrigins"}


def test_there_is_no_other_way_in() -> None:
    """No function URL, no second API, no permission but those that SAM adds for the functions' events."""
    assert list(of_type("AWS::Serverless::HttpApi")) == ["HttpApi"]
    ways = ("AWS::ApiGateway", "AWS::Serverless::Api", "AWS::Lambda::Url", "AWS::Lambda::Permission")
    assert [name for name, one in RESOURCES.items() if one["Type"].startswith(ways)] == []
    assert not any("FunctionUrlConfig" in properties(function) for function in FUNCTIONS)


def test_stage_is_throttled_and_logged() -> None:
    """A flood costs a bounded amount, and leaves a trace."""
    stage = properties("HttpApi")
    assert stage["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": {"Ref": "ThrottlingRate"},
        "ThrottlingBurstLimit": {"Ref": "ThrottlingBurst"},
    }
    json.loads(stage["AccessLogSettings"]["Format"])


# Rights ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_rights_name_actions_and_resources(function: str) -> None:
    """No wildcard, nothing outside this template but an export, no managed policy but the two that SAM always adds."""
    events = {event["Type"] for event in properties(function).get("Events", {}).values()}
    assert events <= {"HttpApi", "Schedule"}, "for a stream SAM would add a policy that reads all of the account's"
    assert all(set(policy) == {"Statement"} for policy in policies(function))
    for statement in statements(function):
        assert statement["Effect"] == "Allow"
        assert set(statement) == {"Effect", "Action", "Resource"}
    for action, resource in rights(function):
        assert "*" not in action
        assert (
            resource in {EXPORTS, EXPORTS.removesuffix("/*"), "ExportKeyArn"} or resource.partition(".")[0] in RESOURCES
        )
        # In a bucket, the objects' names are others' to choose.
        assert "*" not in resource.removesuffix("/*" if resource.startswith(("FailuresBucket", EXPORTS)) else "")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nobody_may_change_or_remove_an_event(function: str) -> None:
    """The event table is read and appended to."""
    on_events = {action for action, resource in rights(function) if resource == "EventsTable.Arn"}
    assert on_events <= {"dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"}


def test_writers_are_few() -> None:
    """Commands and snapshots write the event table, commands claim unique keys; projections, redrive, rebuild the read models; queries nothing."""
    writers = {
        (function, resource)
        for function in FUNCTIONS
        for action, resource in rights(function)
        if action not in READS | READS_STREAM and resource.partition(".")[0] in TABLES
    }
    assert writers == {
        ("CommandsFunction", "EventsTable.Arn"),
        ("CommandsFunction", "ClaimsTable.Arn"),
        ("SnapshotsFunction", "EventsTable.Arn"),
        ("ProjectionsFunction", "ReadModelsTable.Arn"),
        ("ProjectionsFunction", "ParkedTable.Arn"),
        ("RedriveFunction", "ReadModelsTable.Arn"),
        ("RedriveFunction", "ParkedTable.Arn"),
        ("RebuildFunction", "ReadModelsTable.Arn"),
        ("RebuildFunction", "ParkedTable.Arn"),
    }
    assert {action for action, _ in rights("QueriesFunction")} <= READS | {READS_KEY}
    asked = {function for function in FUNCTIONS for action, _ in rights(function) if action == READS_KEY}
    assert asked == {"CommandsFunction", "QueriesFunction"}, "who claims unique keys, and who looks them up"


@pytest.mark.parametrize("function", MAPPINGS.values())
def test_stream_functions_may_read_the_stream_and_set_batches_aside(function: str) -> None:
    """All that Lambda needs of the role to run the mapping: the emulator asks for none of it."""
    expected = {(action, "EventsTable.StreamArn") for action in READS_STREAM} | {
        ("s3:PutObject", "FailuresBucket.Arn/*"),
        ("s3:ListBucket", "FailuresBucket.Arn"),
    }
    assert expected <= rights(function)
