"""Accounts over HTTP: several streams behind one request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.accounts.money import DAILY_LIMIT

if TYPE_CHECKING:
    from tests.functions.application import Application
    from tests.support import Answer


def opened(app: Application, owner: str, number: str, cents: int = 0) -> str:
    answer = app.request("POST", "/accounts", {"owner": owner, "number": number})
    assert answer.status == 201, answer.body
    id_: str = answer.body["id"]
    assert answer.headers["Location"] == f"/accounts/{id_}"
    if cents:
        assert app.request("POST", f"/accounts/{id_}/deposits", {"cents": cents}).status == 200
    return id_


def balance(app: Application, id_: str) -> int:
    version = app.request("GET", f"/accounts/{id_}/state").body["version"]
    cents: int = app.request("GET", f"/accounts/{id_}", query={"min_version": str(version)}).body["cents"]
    return cents


def transfer(app: Application, source: str, target: str, cents: int, **headers: str) -> Answer:
    body = {"to": target, "cents": cents}
    return app.request(
        "POST", f"/accounts/{source}/transfers", body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def test_a_transfer_moves_money_and_a_repeat_moves_it_once(app: Application) -> None:
    ada, grace = opened(app, "ada", "DE01", 1000), opened(app, "grace", "DE02")
    answers = [transfer(app, ada, grace, 300, idempotency_key="k") for _ in range(2)]
    assert [(one.status, one.body, one.headers["ETag"]) for one in answers] == [
        (200, {"id": ada, "version": 3}, '"3"')
    ] * 2
    assert (balance(app, ada), balance(app, grace)) == (700, 300)
    assert transfer(app, ada, grace, 301, idempotency_key="k").status == 422
    trail = app.request("GET", f"/accounts/{grace}/events").body["events"]
    assert [one["type"] for one in trail] == ["AccountOpened", "Deposited"]


def test_a_condition_is_on_the_account_of_the_path(app: Application) -> None:
    ada, grace = opened(app, "ada", "DE01", 1000), opened(app, "grace", "DE02")
    assert transfer(app, ada, grace, 1, if_match='"1"').status == 412
    assert transfer(app, ada, grace, 1, if_match='"2"').status == 200


def test_what_the_rules_refuse_is_told_and_changes_nothing(app: Application) -> None:
    ada, grace = opened(app, "ada", "DE01", 2 * DAILY_LIMIT), opened(app, "grace", "DE02")
    second = opened(app, "ada", "DE03", DAILY_LIMIT)
    app.request("POST", f"/accounts/{second}/withdrawals", {"cents": DAILY_LIMIT - 5})
    refused = {
        "The account to transfer to is not open, or is the same.": transfer(app, ada, "nobody", 5),
        "The account does not have so much.": transfer(app, grace, ada, 5),
        "More than the owner may take out of all accounts on one day.": transfer(app, ada, grace, 6),
        "There is money in the account.": app.request("DELETE", f"/accounts/{ada}"),
        "Another account has this number.": app.request("POST", "/accounts", {"owner": "x", "number": "DE01"}),
    }
    assert {(one.status, one.body["detail"]) for one in refused.values()} == {(409, detail) for detail in refused}
    assert app.request("POST", "/accounts/nobody/withdrawals", {"cents": 1}).status == 404
    assert transfer(app, ada, grace, 5).status == 200
    assert balance(app, grace) == 5


def test_an_account_is_closed_and_its_number_free_again(app: Application) -> None:
    id_ = opened(app, "ada", "DE01")
    assert [app.request("DELETE", f"/accounts/{id_}").status for _ in range(2)] == [204, 204]
    app.project()
    assert app.request("GET", f"/accounts/{id_}").status == 410
    assert app.request("POST", f"/accounts/{id_}/deposits", {"cents": 1}).status == 410
    opened(app, "grace", "DE01")


def test_accounts_are_listed_by_owner(app: Application) -> None:
    for number in range(3):
        opened(app, "ada", f"DE0{number}", 100 * (number + 1))
    opened(app, "ada2", "DE99")
    app.project()
    first = app.request("GET", "/accounts", query={"owner": "ada", "limit": "2"}).body
    rest = app.request("GET", "/accounts", query={"owner": "ada", "limit": "2", "cursor": first["cursor"]}).body
    found = [*first["accounts"], *rest["accounts"]]
    assert {(one["owner"], one["number"], one["cents"]) for one in found} == {
        ("ada", "DE00", 100),
        ("ada", "DE01", 200),
        ("ada", "DE02", 300),
    }
    assert rest["cursor"] is None
    assert len(app.request("GET", "/accounts").body["accounts"]) == 4


@pytest.mark.parametrize(
    "body",
    [{"to": "b", "cents": 0}, {"to": "b", "cents": -1}, {"to": "b", "cents": 1.5}, {"to": "a/b", "cents": 1}, {}],
)
def test_a_transfer_that_makes_no_sense_is_422(app: Application, body: dict[str, object]) -> None:
    assert app.request("POST", "/accounts/a/transfers", body).status == 422


def test_an_opening_repeated_under_its_key_is_one_account(app: Application) -> None:
    body = {"owner": "ada", "number": "DE01"}
    answers = [app.request("POST", "/accounts", body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [one.status for one in answers] == [201, 201]
    assert answers[0].body == answers[1].body
