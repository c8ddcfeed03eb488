"""The five functions as a test calls them: handlers on moto, with their answers, log lines and metrics."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from copy import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from app import main
from app.telemetry import logger, metrics
from eventfold import Commit
from eventfold import application as made
from eventfold.core.store import end_of
from eventfold.dynamodb.items import commit_to_item, item_to_commit_or_snapshot
from eventfold.read_models.parking import Parked
from tests.support import Answer, LambdaContext, http_event, stream_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest
    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold import Decider, Event
    from eventfold.core.store import Item

START = datetime(2026, 1, 1, tzinfo=UTC)


class Stdout:
    """Whatever pytest has put in the place of stdout when a line is written."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


def capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let log lines and metrics go where pytest looks."""
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", Stdout())
    monkeypatch.setattr(metrics, "namespace", "eventfold")


def forget() -> None:
    """Put the process where a cold start puts it: an application of which no part is made yet."""
    main.application = made.Application(*main.application.packages)
    metrics.clear_metrics()
    logger.thread_safe_clear_keys()


def users() -> Decider[Any, Any, Any]:
    """Return the aggregate that most tests are about."""
    return main.application.deciders["user"]


class Application:
    """Calls the handlers; `captured` has their log lines and metrics."""

    def __init__(self, client: DynamoDBClient, table: str, captured: pytest.CaptureFixture[str]) -> None:
        self.client = client
        self._table = table
        self._captured = captured
        self._printed = ""

    def call(self, function: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Invoke a function as Lambda does: the event goes in as JSON, the answer comes out as JSON."""
        handler = importlib.import_module(f"functions.{function}.handler")
        answer: dict[str, Any] = json.loads(
            json.dumps(handler.lambda_handler(json.loads(json.dumps(event)), LambdaContext(function)))
        )
        return answer

    def send(self, event: Mapping[str, Any]) -> Answer:
        """Send a request to the function that its route belongs to."""
        answer = self.call("queries" if event["requestContext"]["http"]["method"] == "GET" else "commands", event)
        body = answer.get("body")
        return Answer(answer["statusCode"], answer["headers"], json.loads(body) if body else None)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        authorizer: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Send a request; a str body goes as it is, anything else as JSON."""
        return self.send(http_event(method, path, body, headers=headers, query=query, authorizer=authorizer))

    def create(self, name: str = "Ada", **more: str) -> str:
        """Create a user; return the id."""
        answer = self.request("POST", "/users", {"name": name, **more})
        assert answer.status == 201, answer
        id_: str = answer.body["id"]
        return id_

    def rename(self, id_: str, *names: str) -> None:
        """Give a user one name after the other, a commit each."""
        for name in names:
            assert self.request("PATCH", f"/users/{id_}", {"name": name}).status == 200

    def append(
        self, id_: str, *events: Event, meta: Mapping[str, str] | None = None, start: datetime = START
    ) -> list[Commit]:
        """Append events without a command, a commit each, one second apart from `start` on; return the commits."""
        store, stream = main.application.event_store, users().stream(id_)
        head = end_of(store, stream)
        commits: list[Commit] = []
        for version, event in enumerate(events, start=head.version + 1):
            at = start + timedelta(seconds=version)
            commit = Commit(stream, version, (users().codec.encode(event),), f"commit-{version}", at, meta or {})
            commit = replace(commit, snapshot_due=version % main.application.settings.snapshot_every == 0)
            store.append(commit, after=head)
            head = commit.head
            commits.append(commit)
        return commits

    def stored(self, id_: str | None = None) -> list[Item]:
        """Return what the event table holds, of one user or of all, in order of stream and version."""
        found = self.client.scan(TableName=self._table, ConsistentRead=True)["Items"]
        items = [item_to_commit_or_snapshot(item) for item in found]
        wanted = [item for item in items if id_ is None or item.stream == users().stream(id_)]
        return sorted(wanted, key=lambda item: (item.stream, item.version, not isinstance(item, Commit)))

    def commits(self, id_: str | None = None) -> list[Commit]:
        """Return the stored commits, of one user or of all."""
        return [item for item in self.stored(id_) if isinstance(item, Commit)]

    def project(self, items: Iterable[Item] | None = None) -> dict[str, Any]:
        """Hand commits to the projection function, all that are stored unless told."""
        return self.call("projections", stream_event(self.commits() if items is None else items))

    def snapshot(self, items: Iterable[Item] | None = None) -> dict[str, Any]:
        """Hand commits to the snapshot function: those that are due unless told."""
        due = (commit for commit in self.commits() if commit.snapshot_due)
        return self.call("snapshots", stream_event(due if items is None else items))

    def redrive(self, **event: str) -> dict[str, int]:
        """Invoke the redrive function: as the schedule does, unless told a projection or stream."""
        return self.call("redrive", event)

    def parked(self, projection: str | None = None) -> list[Parked]:
        """Return what is parked, in order of projection and stream."""
        found = main.application.parked_store.listed(projection)
        return sorted(found, key=lambda one: (one.projection, one.stream))

    def stats(self, first: str = "2026-01-01", last: str = "2026-01-31") -> dict[str, Any]:
        """Return the statistics, with the days from the first to the last."""
        answer = self.request("GET", "/stats", query={"from": first, "to": last})
        assert answer.status == 200, answer
        body: dict[str, Any] = answer.body
        return body

    def overwrite(self, commit: Commit) -> None:
        """Put a commit into the event table in the place of the one there, as nothing but an operator could."""
        self.client.put_item(TableName=self._table, Item=commit_to_item(commit))

    def lines(self, message: str | None = None) -> list[dict[str, Any]]:
        """Return the log lines so far, all of them or those with this message."""
        printed = [json.loads(line) for line in self.printed().splitlines()]
        logged = [line for line in printed if "message" in line]
        return [line for line in logged if message is None or line["message"] == message]

    def metric(self, name: str) -> list[float]:
        """Return a metric's values so far."""
        printed = [json.loads(line) for line in self.printed().splitlines()]
        return [value for line in printed if "_aws" in line for value in line.get(name, [])]

    def printed(self) -> str:
        """Return everything that the functions printed."""
        self._printed += self._captured.readouterr().out
        return self._printed
