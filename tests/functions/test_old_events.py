"""A user stored in the first shape of `UserCreated`, through the whole application."""

from __future__ import annotations

import json
from copy import replace
from typing import TYPE_CHECKING

from app import main
from app.users.rules import UserCreated
from eventfold import Head
from tests.support import ROOT

if TYPE_CHECKING:
    from tests.functions.application import Application

V1 = json.loads((ROOT / "tests" / "golden" / "user" / "UserCreated.v1.json").read_text())["stored"]


def test_a_user_of_the_first_days_is_shown_changed_counted_and_traced(app: Application) -> None:
    (template,) = app.append("template", UserCreated(name="?"))
    main.application.event_store.append(replace(template, stream="user-7f6c", events=(V1,)), after=Head("user-7f6c", 0))
    assert app.request("PATCH", "/users/7f6c", {"email": "ada@example.com"}).body == {"id": "7f6c", "version": 2}
    app.project(app.commits("7f6c"))
    user = {"id": "7f6c", "name": "Ada Lovelace", "email": "ada@example.com"}
    assert app.request("GET", "/users/7f6c").body == user | {"version": 2}
    then = app.request("GET", "/users/7f6c/state", query={"version": "1"}).body
    assert (then["name"], then["email"]) == ("Ada Lovelace", None)
    trail = app.request("GET", "/users/7f6c/events").body["events"]
    assert [(one["version"], one["type"], one["data"]) for one in trail] == [
        (1, "UserCreated", {"name": "Ada Lovelace"}),
        (2, "UserUpdated", {"email": "ada@example.com"}),
    ]
    assert app.request("GET", "/stats").body["created"] == 1
