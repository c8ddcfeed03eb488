"""What template.yaml promises of a rebuild: retries, a bound on concurrency, no rights beyond it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cfnlint.decode import decode  # type: ignore[import-untyped] # cfn-lint ships no types

from eventfold.read_models.generations import CONTROL_SECONDS, SETTLE_SECONDS
from functions.rebuild import handler
from tests.support import ROOT
from tests.template.declared import TEMPLATE, many, properties, rights

STATES: dict[str, Any] = decode(str(ROOT / properties("RebuildStateMachine")["DefinitionUri"]))[0]["States"]
PARTS: dict[str, Any] = STATES["Work"]["ItemProcessor"]
TASKS = {name: (STATES | PARTS["States"])[name] for name in ("Step", "Part")}


@pytest.mark.parametrize("task", TASKS)
def test_what_passes_is_tried_again_with_backoff_and_jitter(task: str) -> None:
    (retry,) = TASKS[task]["Retry"]
    assert {"StoreUnavailableError", "Lambda.TooManyRequestsException", "Sandbox.Timedout"} <= set(retry["ErrorEquals"])
    assert "RebuildRefusedError" not in retry["ErrorEquals"]
    assert (retry["BackoffRate"], retry["JitterStrategy"], retry["MaxDelaySeconds"]) == (2, "FULL", 60)
    assert TASKS[task]["Resource"] == "${Function}"
    assert TASKS["Step"]["Retry"] == TASKS["Part"]["Retry"]


def test_parts_run_in_a_distributed_map_of_bounded_width_until_each_is_done() -> None:
    assert PARTS["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert STATES["Work"]["MaxConcurrency"] == 8
    (done,) = PARTS["States"]["PartDone"]["Choices"]
    assert (done["Variable"], done["Next"]) == ("$.worked.done", "Done")
    assert PARTS["States"]["PartDone"]["Default"] == "Part"


def test_what_fails_is_what_a_redrive_of_the_execution_goes_on_with() -> None:
    """A state whose error is caught has ended: https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html."""
    failing = {name: state for name, state in (STATES | PARTS["States"]).items() if state["Type"] in {"Task", "Map"}}
    assert set(failing) == {"Step", "Part", "Work"}
    assert not [name for name, state in failing.items() if "Catch" in state]
    policy = properties("RebuildMapPolicy")["PolicyDocument"]
    (allowed,) = (one for one in policy["Statement"] if "states:RedriveExecution" in one["Action"])
    assert any(one["Fn::Sub"].endswith(":${RebuildStateMachine.Name}/*") for one in allowed["Resource"])


def test_an_input_that_lacks_something_is_refused_before_anything_begins() -> None:
    (checked,) = STATES["Input"]["Choices"]
    named = {one["Variable"].removeprefix("$.") for one in checked["And"]}
    used = set(re.findall(r"'\$\.(\w+)'", str({"Step": STATES["Step"], "Work": STATES["Work"]}))) - {
        "next",
        "done",
        "worked",
    }
    assert named == used == {"projection", "source", "segments", "promote", "rate"}
    assert (checked["Next"], STATES["Input"]["Default"]) == ("Begin", "Refused")
    assert all(name in STATES["Refused"]["Cause"] for name in named)


def test_a_promotion_runs_no_map_over_nothing() -> None:
    (choice,) = STATES["Parts"]["Choices"]
    assert choice == {"Variable": "$.next.phase", "StringEquals": "promote", "Next": "Close"}
    assert (STATES["Pause"]["Next"], STATES["Parts"]["Default"]) == ("Parts", "Work")


def test_parts_return_nothing_to_be_collected() -> None:
    """A map's collected output may have 256 KiB: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html."""
    assert PARTS["States"]["Done"] == {"Type": "Pass", "Result": {}, "End": True}


@pytest.mark.parametrize("states", [STATES, PARTS["States"]])
def test_every_transition_leads_to_a_state_that_some_transition_leads_to(states: dict[str, Any]) -> None:
    def following(value: object) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(following, value))
        if not isinstance(value, dict):
            return set()
        named = {name for key, name in value.items() if key in {"Next", "Default"}}
        return named.union(*(following(one) for key, one in value.items() if key != "ItemProcessor"))

    start = {"Input"} if states is STATES else {PARTS["StartAt"]}
    assert following(list(states.values())) | start == set(states)


def test_no_state_has_a_null() -> None:
    def nulls(value: object) -> bool:
        if isinstance(value, dict):
            return any(map(nulls, value.values()))
        return any(map(nulls, value)) if isinstance(value, list) else value is None

    assert not nulls(STATES)


def test_the_function_s_time_is_lambda_s_most_and_longer_than_what_it_keeps_back() -> None:
    assert properties("RebuildFunction")["Timeout"] == 900
    assert handler.LEFT_MILLISECONDS < 900_000


def test_the_function_reads_events_and_writes_read_models_alone() -> None:
    on_events = {action for action, resource in rights("RebuildFunction") if resource == "EventsTable.Arn"}
    assert on_events == {"dynamodb:Query", "dynamodb:Scan"}


def test_the_function_reads_no_bucket_but_the_one_that_a_parameter_names() -> None:
    assert TEMPLATE["Parameters"]["ExportBucket"]["Default"] == ""
    conditions = [one["Fn::If"][0] for one in properties("RebuildFunction")["Policies"] if "Fn::If" in one]
    assert conditions == ["ReadsExports", "DecryptsExports"]
    assert TEMPLATE["Conditions"]["ReadsExports"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "ExportBucket"}, ""]}]}
    named = "arn:${AWS::Partition}:s3:::${ExportBucket}"
    on_s3 = {one for one in rights("RebuildFunction") if one[0].startswith("s3:")}
    assert on_s3 == {("s3:GetObject", f"{named}/*"), ("s3:ListBucket", named)}
    assert {one for one in rights("RebuildFunction") if one[0].startswith("kms:")} == {("kms:Decrypt", "ExportKeyArn")}


def test_the_state_machine_may_invoke_the_function_and_itself() -> None:
    documents = [policy["PolicyDocument"] for policy in properties("RebuildRole")["Policies"]]
    assert properties("RebuildMapPolicy")["Roles"] == [{"Ref": "RebuildRole"}]
    named = {
        action: many(statement["Resource"])
        for document in (*documents, properties("RebuildMapPolicy")["PolicyDocument"])
        for statement in document["Statement"]
        for action in many(statement["Action"])
    }
    assert named["lambda:InvokeFunction"] == [{"Fn::GetAtt": ["RebuildFunction", "Arn"]}]
    assert named["states:StartExecution"] == [{"Ref": "RebuildStateMachine"}]
    anywhere = {action.partition(":")[0] for action, resources in named.items() if resources == ["*"]}
    assert anywhere == {"logs", "xray"}
    assert TEMPLATE["Outputs"]["RebuildStateMachineArn"]["Value"] == {"Ref": "RebuildStateMachine"}


def test_settling_is_longer_than_the_projection_function_can_run() -> None:
    assert properties("ProjectionsFunction")["Timeout"] + CONTROL_SECONDS <= SETTLE_SECONDS
