"""The settings of a mapping come from the template, and its filter patterns mean what Lambda's mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from eventfold.testing.mapping import EventSourceMapping, UnsupportedMappingError
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = ROOT / "template.yaml"


def matches(pattern: dict[str, Any], record: dict[str, Any]) -> bool:
    return EventSourceMapping(filters=(pattern,)).lets_through(record)


def record(image: dict[str, Any], name: str = "INSERT") -> dict[str, Any]:
    return {"eventName": name, "dynamodb": {"NewImage": image}}


def test_the_deployed_mappings_are_read_with_all_that_matters() -> None:
    mapping = EventSourceMapping.from_template(TEMPLATE, "ProjectionsMapping")
    assert mapping == EventSourceMapping(
        batch_size=100,
        parallelization_factor=4,
        bisect=True,
        partial_responses=True,
        maximum_retry_attempts=10,
        maximum_record_age=79200,
        filters=mapping.filters,
    )
    assert len(mapping.filters) == 1
    assert EventSourceMapping.from_template(TEMPLATE, "SnapshotsMapping").parallelization_factor == 1


def test_the_projection_mapping_sees_commits_and_no_snapshots() -> None:
    mapping = EventSourceMapping.from_template(TEMPLATE, "ProjectionsMapping")
    assert mapping.lets_through(record({"commit": {"S": "c1"}}))
    assert not mapping.lets_through(record({"state": {"S": "{}"}}))
    assert not mapping.lets_through(record({"commit": {"S": "c1"}}, "REMOVE"))


def test_the_snapshot_mapping_sees_commits_that_are_due() -> None:
    mapping = EventSourceMapping.from_template(TEMPLATE, "SnapshotsMapping")
    assert mapping.lets_through(record({"commit": {"S": "c1"}, "snapshot_due": {"BOOL": True}}))
    assert not mapping.lets_through(record({"commit": {"S": "c1"}, "snapshot_due": {"BOOL": False}}))
    assert not mapping.lets_through(record({"commit": {"S": "c1"}}))


def test_without_settings_it_is_as_lambda_has_it(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {M: {Properties: {EventSourceArn: !GetAtt T.Arn, StartingPosition: TRIM_HORIZON}}}")
    assert EventSourceMapping.from_template(template, "M") == EventSourceMapping(
        batch_size=100, parallelization_factor=1, maximum_retry_attempts=-1, maximum_record_age=-1
    )


@pytest.mark.parametrize(
    "more", ["StartingPosition: LATEST", "StartingPosition: TRIM_HORIZON, TumblingWindowInSeconds: 5"]
)
def test_a_mapping_that_would_run_otherwise_is_refused(tmp_path: Path, more: str) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(f"Resources: {{M: {{Properties: {{{more}}}}}}}")
    with pytest.raises(UnsupportedMappingError):
        EventSourceMapping.from_template(template, "M")


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ("x", "x", True),
        ("x", "y", False),
        (1, 1, True),
        (1, "1", False),
        (True, True, True),
        (True, 1, False),
        ({"prefix": "us"}, "user", True),
        ({"prefix": "us"}, "bus", False),
        ({"anything-but": ["x", "y"]}, "z", True),
        ({"anything-but": ["x", "y"]}, "x", False),
        ({"anything-but": "x"}, "x", False),
        ({"numeric": ["=", 3]}, 3, True),
        ({"numeric": [">", 0, "<=", 5]}, 5, True),
        ({"numeric": [">", 0, "<=", 5]}, 0, False),
        ({"numeric": ["=", 3]}, "3", False),
        ({"exists": True}, "x", True),
        ({"exists": False}, "x", False),
        ({"exists": True}, {"nested": 1}, False),
    ],
)
def test_rules(rule: object, value: object, expected: bool) -> None:  # noqa: FBT001 - a parametrized test
    assert matches({"a": [rule]}, {"a": value}) is expected
    assert matches({"deep": {"a": [rule]}}, {"deep": {"a": value}}) is expected


def test_what_is_absent_matches_only_a_rule_that_says_so() -> None:
    assert matches({"a": [{"exists": False}]}, {})
    assert matches({"deep": {"a": [{"exists": False}]}}, {})
    for rule in ("x", None, {"exists": True}, {"anything-but": ["x"]}, {"prefix": ""}):
        assert not matches({"a": [rule]}, {})


def test_rules_of_one_field_are_alternatives_and_fields_belong_together() -> None:
    assert matches({"a": ["x", "y"]}, {"a": "y"})
    assert not matches({"a": ["x"], "b": ["x"]}, {"a": "x", "b": "y"})
    two = EventSourceMapping(filters=({"a": ["x"]}, {"b": ["y"]}))
    assert two.lets_through({"b": "y"})
    assert not two.lets_through({"b": "x"})


def test_a_rule_that_is_not_known_is_no_match_by_accident() -> None:
    with pytest.raises(UnsupportedMappingError):
        matches({"a": [{"suffix": "x"}]}, {"a": "x"})
