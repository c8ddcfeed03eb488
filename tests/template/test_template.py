"""What template.yaml promises: what is kept, what is encrypted, and that all functions are alike."""

from __future__ import annotations

import re

import pytest

from eventfold.application import Settings
from tests.support import ROOT
from tests.template.declared import FUNCTIONS, RESOURCES, TABLES, TEMPLATE, of_type, properties, references

# Tables and bucket ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_encrypted_and_recoverable(table: str) -> None:
    """Both can be brought back to any second of the last 35 days."""
    found = properties(table)
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/EncryptionAtRest.html: always, by AWS's own key.
    assert "SSESpecification" not in found
    assert found["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert found["BillingMode"] == "PAY_PER_REQUEST"


def test_events_outlive_the_stack() -> None:
    """Neither deleting nor replacing the stack's table loses an event."""
    table = RESOURCES["EventsTable"]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert table["Properties"]["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    assert TEMPLATE["Parameters"]["DeletionProtection"]["Default"] == "true"
    assert "TimeToLiveSpecification" not in table["Properties"]


def test_the_key_that_hashes_claims_outlives_the_stack() -> None:
    """With another one every unique key would have to be claimed anew."""
    secret = RESOURCES["ClaimsKey"]
    assert (secret["DeletionPolicy"], secret["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert secret["Properties"]["GenerateSecretString"]["PasswordLength"] == 64


def test_failed_batches_are_kept_private() -> None:
    """They hold whole events: encrypted, not public, over TLS only, and not for ever."""
    assert RESOURCES["FailuresBucket"]["DeletionPolicy"] == "RetainExceptOnCreate", "a first deployment may fail"
    bucket = properties("FailuresBucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"]
    (statement,) = properties("FailuresBucketPolicy")["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# Functions ------------------------------------------------------------------------------------------------------------


def test_references_point_at_something() -> None:
    """cfn-lint does not look into what SAM transforms: functions, layers, globals."""
    known = {*RESOURCES, *TEMPLATE["Parameters"]}
    unknown = {name for name in references(TEMPLATE) if not name.startswith("AWS::")} - known
    assert not unknown


def test_functions_get_every_setting() -> None:
    """What the code reads from its environment, the template sets."""
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    redrive = properties("RedriveFunction")["Environment"]["Variables"]
    # An endpoint is for emulators, which set it themselves.
    names = {name.upper() for name in Settings.model_fields} - {"AWS_ENDPOINT_URL"}
    assert names <= set(variables) | {"FAILURES_BUCKET"}
    assert redrive["FAILURES_BUCKET"] == {"Ref": "FailuresBucket"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_logs_do_not_pile_up(function: str) -> None:
    """Each function has a log group of its own, with a retention."""
    group = properties(function)["LoggingConfig"]["LogGroup"]["Ref"]
    assert group == function.replace("Function", "Log")
    assert properties(group)["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_tables_are_warmed_where_asked_and_the_index_with_its_table() -> None:
    """docs/scale.md: what a new table takes at once is among the first limits; AWS's own 4,000 needs no setting."""
    for table, parameter in (("EventsTable", "EventsWarmWrites"), ("ReadModelsTable", "ReadModelsWarmWrites")):
        assert TEMPLATE["Parameters"][parameter]["Default"] == TEMPLATE["Parameters"][parameter]["MinValue"] == 4000
        ((condition, warm, otherwise),) = properties(table)["WarmThroughput"].values()
        assert TEMPLATE["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, "4000"]}]}
        assert warm == {"WriteUnitsPerSecond": {"Ref": parameter}}
        assert otherwise == {"Ref": "AWS::NoValue"}
        for index in properties(table).get("GlobalSecondaryIndexes", []):
            assert index["WarmThroughput"] == properties(table)["WarmThroughput"]


def test_architecture_is_the_same_everywhere() -> None:
    """A layer built for another architecture than the function's fails on the first import only."""
    architecture = {"Ref": "Architecture"}
    assert TEMPLATE["Parameters"]["Architecture"]["Default"] == "arm64"
    assert TEMPLATE["Globals"]["Function"]["Architectures"] == [architecture]
    built = RESOURCES["DependenciesLayer"]["Metadata"]["WorkingDirectory"]
    assert built == {"Fn::Sub": "layers/dependencies/${Architecture}"}
    for named in TEMPLATE["Parameters"]["Architecture"]["AllowedValues"]:
        assert (ROOT / "layers/dependencies" / named / "platform").is_file()
    for name, layer in of_type("AWS::Serverless::LayerVersion").items():
        assert RESOURCES[name]["Metadata"]["BuildMethod"] == "makefile"
        assert layer["CompatibleArchitectures"] == [architecture]


@pytest.mark.parametrize("function", ["CommandsFunction", "QueriesFunction"])
def test_a_parameter_that_reaches_a_function_publishes_a_version_of_it(function: str) -> None:
    """The API calls the version of the alias, and SAM makes a new one for changes of the template alone."""
    (described, more) = properties(function)["VersionDescription"]["Fn::Sub"]
    shown = set(re.findall(r"\w+", described)) | set(references(more))
    shared = {name: value for name, value in TEMPLATE["Globals"]["Function"].items() if name != "Layers"}
    reaching = {
        name for name in references([shared, properties(function)["SnapStart"]]) if name in TEMPLATE["Parameters"]
    }
    assert reaching - {"Architecture"} <= shown  # another architecture comes with other code
    assert RESOURCES[function]["Properties"]["VersionDeletionPolicy"] == "Delete", (
        "each one with a snapshot is paid for"
    )


LIMITS = {
    # https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html
    ("AWS::Serverless::LayerVersion", "LayerName"): 140,
    # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
    ("AWS::CloudWatch::Dashboard", "DashboardName"): 255,
    # https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html
    ("AWS::Serverless::HttpApi", "Name"): 128,
}


def test_names_carry_the_stack_s_and_fit_however_long_that_is() -> None:
    """A stack's name has 128 characters at the most. What is not named here, CloudFormation names, and cuts."""
    longest, found = "s" * 128, set()
    for name, resource in RESOURCES.items():
        for property_, value in resource["Properties"].items():
            if (resource["Type"], property_) in LIMITS:
                text = value.get("Fn::Sub", "${" + value.get("Ref", "") + "}")
                assert "AWS::StackName" in text, f"another stack has this {property_} of {name} too"
                named = text.replace("${AWS::StackName}", longest).replace("${AWS::Region}", "ap-southeast-2")
                assert len(named) <= LIMITS[resource["Type"], property_], name
                found.add(name)
    named_by_hand = {
        name
        for name, one in RESOURCES.items()
        if {"LogGroupName", "LayerName", "DashboardName"} & one["Properties"].keys()
    }
    assert found == named_by_hand - of_type("AWS::Logs::MetricFilter").keys() | {"HttpApi"}
    others = {property_ for one in RESOURCES.values() for property_ in one["Properties"]} & {
        "TableName",
        "BucketName",
        "RoleName",
    }
    assert others == set(), "of which an account or a region has one"
