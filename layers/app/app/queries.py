"""What the query routes of all aggregates share: the audit trail, and the state at a version or a moment."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from pydantic import AwareDatetime, BaseModel, JsonValue, create_model

from app import main
from app.http import Id, Response, etag, json_response
from app.problems import RequestError
from eventfold import Decider, Event, Loaded, Recorded, RefusedError, load, load_at, load_version
from eventfold.aggregates.history import read_page
from eventfold.core.store import end_of

__all__ = [
    "AuditTrail",
    "HTTPStatus",
    "Id",
    "Limit",
    "MinVersion",
    "Query",
    "QueryRoutes",
    "RequestError",
    "Response",
    "etag",
    "json_response",
]

Limit = Annotated[int, Query(ge=1, le=100, description="How many at the most.")]
Version = Annotated[int, Query(ge=0, le=10**15)]
MinVersion = Annotated[int, Query(ge=0, le=10**15, description="The version that the answer shows at least.")]


class AuditEntry(BaseModel, frozen=True):
    """One event: what, when, by which commit, by whom. Events of one commit have the same `commit_id`."""

    version: int
    type: str
    data: dict[str, JsonValue]
    at: datetime
    commit_id: str
    actor: str | None = None


class AuditTrail(BaseModel, frozen=True):
    """Part of an aggregate's history; `after` asks for what follows and is null at the end."""

    events: list[AuditEntry]
    after: int | None = None


class QueryRoutes[S: BaseModel, E: Event](APIGatewayHttpRouter):
    """The routes of an aggregate's queries, for a function to include: its own, and these that read its events.

    `path` is where the aggregate is, as `/users`; `missing` is the refusal where there is none of an id.
    """

    def __init__(self, decider: Decider[Any, S, E], path: str, missing: type[RefusedError]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Powertools has no annotation here
        self._decider = decider
        self._missing = missing
        self._past = past_of(decider)
        self.get(f"{path}/<id_>/events")(self._events_route())
        self.get(f"{path}/<id_>/state")(self._state_route())

    def events(self, id_: str, after: int, limit: int) -> AuditTrail:
        """Return up to `limit` events behind version `after`.

        Raises:
            RefusedError: there is none of this id.
        """
        store, stream = main.application.event_store, self._decider.stream(id_)
        page = read_page(store, self._decider.codec, stream, after=after, limit=limit)
        if not page.events and (after == 0 or end_of(store, stream).version == 0):
            raise self._missing
        entries = [_entry(recorded) for recorded in page.events]
        return AuditTrail(events=entries, after=entries[-1].version if page.more else None)

    def state(self, id_: str, version: int | None, at: datetime | None) -> BaseModel:
        """Return it as it was at a version, at a moment, or is now.

        Raises:
            RefusedError: it was not there then, or has not reached that version yet.
        """
        loaded = self._load(self._decider.stream(id_), version, at)
        if loaded.at is None or loaded.version < (version or 0):
            raise self._missing
        return self._past(id=id_, version=loaded.version, at=loaded.at, **loaded.state.model_dump())

    def _load(self, stream: str, version: int | None, at: datetime | None) -> Loaded[S]:
        store = main.application.event_store
        if version is not None:
            return load_version(store, self._decider, stream, version)
        if at is not None:
            return load_at(store, self._decider, stream, at)
        return load(store, self._decider, stream)

    def _events_route(self) -> Any:
        def get_events(id_: Id, after: Version = 0, limit: Limit = 100) -> AuditTrail:
            """Return what happened, behind version `after`."""
            return self.events(id_, after, limit)

        return get_events

    def _state_route(self) -> Any:
        def get_state(
            id_: Id,
            version: Annotated[int | None, Query(ge=1, le=10**15)] = None,
            at: Annotated[AwareDatetime | None, Query(description="A moment, as 2026-01-31T12:00:00Z.")] = None,
        ) -> BaseModel:
            """Return it as it was at a version or a moment, replayed; as it is now without either."""
            if version is not None and at is not None:
                raise RequestError(HTTPStatus.BAD_REQUEST, "A state is asked for by version or by time, not by both.")
            return self.state(id_, version, at)

        get_state.__annotations__["return"] = self._past
        return get_state


def past_of(decider: Decider[Any, Any, Any]) -> type[BaseModel]:
    """Return the model of an aggregate's state as it was right after `version`, which was committed at `at`."""
    state = type(decider.initial)
    fields: dict[str, Any] = {"id": (str, ...), "version": (int, ...), "at": (datetime, ...)}
    return create_model(f"Past{state.__name__}", __base__=state, **fields)


def _entry(recorded: Recorded[Any]) -> AuditEntry:
    return AuditEntry(
        version=recorded.version,
        type=recorded.event.event_name,
        data=recorded.event.model_dump(mode="json", exclude_none=True),
        at=recorded.at,
        commit_id=recorded.commit.public_id,
        actor=recorded.meta.get("actor"),
    )
