"""What the command routes of all aggregates share: ids, idempotency, expected versions, deadlines, answers."""

import time
import uuid
from dataclasses import replace
from http import HTTPStatus

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from pydantic import BaseModel

from app import main
from app.http import Id, IdempotencyKey, IfMatch, Json, Response, Versioned, request_of, versioned
from app.telemetry import counted
from eventfold import Command, Decider, Event, Outcome, Request
from eventfold.aggregates.reads import Decision
from eventfold.dynamodb.client import CALL_SECONDS

__all__ = ["CommandRoutes", "HTTPStatus", "Id", "IdempotencyKey", "IfMatch", "Json", "Response", "Versioned"]

# WARNING: ids are derived from it. Another value would make a repeated POST create a second one.
ID_NAMESPACE = uuid.UUID("6f1c2f0e-6d0b-5d0a-9a55-0b9c1c9d2f4e")


class CommandRoutes[C: Command, S: BaseModel, E: Event](APIGatewayHttpRouter):
    """The routes of an aggregate's commands, for a function to include. `path` is where the aggregate is: `/users`."""

    def __init__(self, decider: Decider[C, S, E], path: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Powertools has no annotation here
        self._decider = decider
        self._path = path

    def create(self, command: C, key: str | None) -> Response[Versioned]:
        """Run the first command of an aggregate. Its id follows from the key, if any, so that a repeat finds it."""
        id_ = self.new_id(key)
        return self.created(id_, self._run(id_, command, replace(request_of(self.current_event, key), new=True)))

    def change(self, id_: str, command: C, key: str | None, if_match: str | None) -> Response[Versioned]:
        """Run a command; answer with the version after it."""
        return self.changed(id_, self._run(id_, command, request_of(self.current_event, key, if_match)))

    def end(self, id_: str, command: C, key: str | None, if_match: str | None) -> Response[None]:
        """Run the last command of an aggregate; answer with nothing."""
        self._run(id_, command, request_of(self.current_event, key, if_match))
        return Response(HTTPStatus.NO_CONTENT)

    def transact[D: Command](
        self, id_: str, decide: Decision[D], command: D, key: str | None, if_match: str | None = None
    ) -> Outcome:
        """Run a command whose rule reads several streams, this aggregate's first."""
        request = self._in_time(request_of(self.current_event, key, if_match))
        with counted(type(command).__name__) as count:
            done = main.application.transactions.handle(decide, command, request)
            return count(done.outcome(self._decider.stream(id_)))

    def new_id(self, key: str | None) -> str:
        """Return the id of an aggregate that is to be: it follows from the caller's key, if any."""
        caller = request_of(self.current_event, key).caller
        return str(uuid.uuid5(ID_NAMESPACE, f"{caller}\n{key}") if key else uuid.uuid4())

    def created(self, id_: str, outcome: Outcome) -> Response[Versioned]:
        """Answer the first command of an aggregate."""
        return versioned(HTTPStatus.CREATED, id_, outcome.version, Location=f"{self._path}/{id_}")

    def changed(self, id_: str, outcome: Outcome) -> Response[Versioned]:
        """Answer a command."""
        return versioned(HTTPStatus.OK, id_, outcome.version)

    def _run(self, id_: str, command: C, request: Request) -> Outcome:
        """Run a command, counted and logged; in time for an answer."""
        with counted(type(command).__name__) as count:
            return count(main.application.handler(self._decider).handle(id_, command, self._in_time(request)))

    def _in_time(self, request: Request) -> Request:
        time_left = self.lambda_context.get_remaining_time_in_millis() / 1000 - CALL_SECONDS
        return replace(request, deadline=time.monotonic() + time_left)
