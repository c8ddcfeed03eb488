"""What template.yaml promises to who runs it: what is parked is tried again, and what stays broken raises an alarm."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from app.telemetry import metrics
from eventfold.application import Application
from eventfold.read_models.feed import Redriven
from functions.redrive import handler as redrive
from tests.functions.application import capture
from tests.support import ROOT, LambdaContext
from tests.template.declared import MAPPINGS, RESOURCES, TEMPLATE, of_type, properties, rights

ALARMS = of_type("AWS::CloudWatch::Alarm")


def test_redrive_is_invoked_every_five_minutes_for_all_that_is_parked() -> None:
    (event,) = properties("RedriveFunction")["Events"].values()
    schedule = event["Properties"]
    assert (event["Type"], schedule["Schedule"]) == ("Schedule", "rate(5 minutes)")
    assert schedule.get("Enabled", True)
    assert json.loads(schedule["Input"]) == {}, "an event that names something would leave the rest parked"
    assert properties("RedriveFunction")["Timeout"] <= 300, "no longer than to the next one"


def test_redrive_may_do_what_projections_may_list_what_is_parked_and_empty_the_bucket() -> None:
    shared = {
        (action, resource)
        for action, resource in rights("ProjectionsFunction")
        if resource.removesuffix(".Arn") in {"EventsTable", "ReadModelsTable", "ParkedTable"}
    }
    listing = {(f"dynamodb:{action}", "ParkedTable.Arn") for action in ("Query", "Scan")}
    bucket = {("s3:ListBucket", "FailuresBucket.Arn")} | {
        (f"s3:{action}Object", "FailuresBucket.Arn/*") for action in ("Get", "Delete")
    }
    assert rights("RedriveFunction") == shared | listing | bucket


def test_rights_on_what_is_parked_are_those_that_parking_needs() -> None:
    parking = {(f"dynamodb:{action}Item", "ParkedTable.Arn") for action in ("Get", "Update", "Delete")}
    assert {right for right in rights("ProjectionsFunction") if right[1] == "ParkedTable.Arn"} == parking
    for function in ("CommandsFunction", "QueriesFunction", "SnapshotsFunction"):
        assert not [right for right in rights(function) if right[1] == "ParkedTable.Arn"]


def test_parked_streams_are_keyed_by_projection_and_stream() -> None:
    keys = [(key["AttributeName"], key["KeyType"]) for key in properties("ParkedTable")["KeySchema"]]
    assert keys == [("projection", "HASH"), ("stream", "RANGE")]
    assert TEMPLATE["Outputs"]["ParkedTableName"]["Value"] == {"Ref": "ParkedTable"}


def test_tables_that_can_be_built_again_go_with_the_stack() -> None:
    for table in ("ReadModelsTable", "ParkedTable"):
        assert (RESOURCES[table]["DeletionPolicy"], RESOURCES[table]["UpdateReplacePolicy"]) == ("Delete", "Delete")


def test_a_stream_that_stays_parked_raises_an_alarm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The alarm watches the metric that the function really prints: name, namespace and dimensions."""
    alarm = properties("ParkedStreamsAlarm")
    named = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"]
    service = properties("RedriveFunction")["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    assert (alarm["Namespace"], alarm["Dimensions"]) == (named, [{"Name": "service", "Value": service}])
    metric = printed_with_two_parked(monkeypatch, capsys, service)
    (declared,) = metric["_aws"]["CloudWatchMetrics"]
    assert (declared["Dimensions"], metric["service"]) == ([["service"]], service)
    assert metric[alarm["MetricName"]] == [2.0]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    # A gauge: each redrive says how many there are, so a sum would count one stream again and again.
    assert alarm["Statistic"] == "Maximum"
    assert alarm["Period"] * alarm["EvaluationPeriods"] >= 600, "one redrive may get through before anybody is called"


def printed_with_two_parked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], service: str
) -> dict[str, Any]:
    """Return the metrics that one redrive prints which leaves two streams parked."""
    capture(monkeypatch)
    monkeypatch.setattr(metrics, "service", service)
    feed = SimpleNamespace(redrive=lambda *_, **__: Redriven(parked=2), waiting=lambda: iter("ab"))
    monkeypatch.setattr(Application, "feed", feed)
    monkeypatch.setattr(Application, "given_up", None)
    redrive.lambda_handler({}, LambdaContext())
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    (printed,) = [line for line in lines if "ParkedStreams" in line]
    metric: dict[str, Any] = printed
    return metric


def test_lag_and_batches_given_up_raise_an_alarm_for_each_mapping() -> None:
    lag = [found["Dimensions"] for found in ALARMS.values() if found.get("MetricName") == "IteratorAge"]
    given_up = [
        found["Dimensions"]
        for found in ALARMS.values()
        if found.get("MetricName") == "OnFailureDestinationDeliveredEventCount"
    ]
    assert lag == [[{"Name": "FunctionName", "Value": {"Ref": function}}] for function in MAPPINGS.values()]
    assert given_up == [[{"Name": "EventSourceMappingUUID", "Value": {"Ref": mapping}}] for mapping in MAPPINGS]


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarms_reach_the_topic(alarm: str) -> None:
    """Each one tells the topic where there is one, and silence is no alarm but where it is what is looked for."""
    actions = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    assert ALARMS[alarm]["AlarmActions"] == actions
    silent = "breaching" if alarm == "RedriveSilentAlarm" else "notBreaching"
    assert ALARMS[alarm]["TreatMissingData"] == silent
    assert ALARMS[alarm].get("ActionsEnabled", True) is True


def test_the_runbook_has_what_to_do_for_each_alarm_and_for_nothing_else() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    sections = dict(re.findall(r"^## (\w+Alarm)\n(.*?)(?=^## |\Z)", runbook, flags=re.DOTALL | re.MULTILINE))
    assert sections.keys() == ALARMS.keys()
    for alarm, text in sections.items():
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, flags=re.MULTILINE) == ["Means", "Look", "Do"], alarm


def test_no_log_level_drops_the_lines_that_metrics_come_in() -> None:
    """They have no level, and Lambda takes them for INFO."""
    logging = TEMPLATE["Globals"]["Function"]["LoggingConfig"]
    assert logging["ApplicationLogLevel"] == {"Ref": "LogLevel"}
    assert set(TEMPLATE["Parameters"]["LogLevel"]["AllowedValues"]) <= {"TRACE", "DEBUG", "INFO"}


def test_nothing_is_paid_for_that_nobody_asked_for() -> None:
    """Traces, the platform's lines for each invocation, and keys of KMS each cost more than a quiet stack."""
    assert TEMPLATE["Parameters"]["Tracing"]["Default"] == "PassThrough"
    assert TEMPLATE["Globals"]["Function"]["LoggingConfig"]["SystemLogLevel"] == "WARN"
    tracing = [properties(name)["Tracing"]["Enabled"] for name in of_type("AWS::Serverless::StateMachine")]
    assert tracing == [{"Fn::If": ["Traces", True, False]}]
    assert "KMSMasterKeyId" not in json.dumps(RESOURCES)


def test_the_dashboard_shows_metrics_of_this_stack_alone() -> None:
    body = properties("Dashboard")["DashboardBody"]["Fn::Sub"][0]
    named = set(re.findall(r"\$\{(\w+)\}", body))
    assert named <= set(RESOURCES)
    widgets = json.loads(re.sub(r"\$\{[\w:]+\}", "x", body))["widgets"]
    titles = {widget["properties"]["title"] for widget in widgets}
    assert {"Requests", "Lag, ms", "Parked and given up", "Throttled and failed", "DynamoDB, dollars a day"} <= titles
