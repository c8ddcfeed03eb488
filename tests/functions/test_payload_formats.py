"""Every payload for `sam local invoke`: whether AWS would send it so."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qsl

import pytest

from app.users.rules import USERS
from eventfold import Commit
from eventfold.dynamodb.items import commit_to_item, item_to_commit_or_snapshot
from tests.functions.payloads import BATCHES, REQUESTS, payload
from tests.support import template


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_one_that_api_gateway_sends(name: str) -> None:
    event = payload(name)
    context, headers = event["requestContext"], event["headers"]
    assert event["version"] == "2.0"
    assert event["routeKey"] == context["routeKey"] == f"{context['http']['method']} /{{proxy+}}"
    assert event["routeKey"] in _routes(name.partition("/")[0])
    assert event["rawPath"] == "/" + event["pathParameters"]["proxy"]
    assert event["rawPath"] == context["http"]["path"]
    assert dict(parse_qsl(event["rawQueryString"])) == event.get("queryStringParameters", {})
    assert headers == {key.lower(): value for key, value in headers.items()}
    authorizer = context.get("authorizer")
    assert authorizer is None or authorizer.keys() in ({"iam"}, {"jwt"})
    body = event.get("body", "")
    # API Gateway hands over as text what is text by its type, and everything else in base64.
    assert event["isBase64Encoded"] == (bool(body) and headers.get("content-type") != "application/json")
    sent = base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
    assert int(headers.get("content-length", "0")) == len(sent)


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_is_one_that_its_stream_mapping_lets_through(name: str) -> None:
    function = name.partition("/")[0]
    mapping = template()["Resources"][f"{function.capitalize()}Mapping"]["Properties"]
    (filter_,) = mapping["FilterCriteria"]["Filters"]
    pattern = json.loads(filter_["Pattern"])
    records = payload(name)["Records"]
    assert 0 < len(records) <= mapping["BatchSize"]
    for record in records:
        assert record["eventName"] in pattern["eventName"]
        image = record["dynamodb"]["NewImage"]
        assert pattern["dynamodb"]["NewImage"].keys() <= image.keys()
        assert record["dynamodb"]["Keys"] == {key: image[key] for key in ("stream", "version")}


@pytest.mark.parametrize("name", [name for name in BATCHES if "unreadable" not in name])
def test_a_record_has_the_stored_format_and_the_domains_events(name: str) -> None:
    for record in payload(name)["Records"]:
        commit = item_to_commit_or_snapshot(record["dynamodb"]["NewImage"])
        assert isinstance(commit, Commit)
        assert commit_to_item(commit) == record["dynamodb"]["NewImage"]
        assert USERS.codec.recorded(commit)


def _routes(function: str) -> set[str]:
    """Return the routes that template.yaml sends to a function."""
    events = template()["Resources"][f"{function.capitalize()}Function"]["Properties"]["Events"].values()
    return {f"{event['Properties']['Method']} {event['Properties']['Path']}" for event in events}
