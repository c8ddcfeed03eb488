"""GET /stats: created, deleted and active, in all and by day, equal to a recount of the events whatever happened."""

from __future__ import annotations

import random
from collections import Counter
from copy import replace
from datetime import UTC, date, datetime, timedelta
from itertools import batched, groupby
from typing import TYPE_CHECKING, Any

import pytest

from app import main
from app.users.rules import UserCreated, UserDeleted, UserUpdated
from eventfold.core.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.users.rules import UserEvent
    from eventfold import Commit
    from eventfold.read_models.tallies import Checkpoint, Counts, Moved
    from tests.functions.application import Application


def recount(app: Application) -> dict[str, Any]:
    """Return what /stats must say of January 2026: counted from the event table, by other means."""
    counted = Counter(
        (commit.at.date().isoformat(), event["type"]) for commit in app.commits() for event in commit.events
    )
    by_type = Counter(type_ for _, type_ in counted.elements())
    created, deleted = by_type["UserCreated"], by_type["UserDeleted"]
    days = sorted({day for day, type_ in counted if type_ in {"UserCreated", "UserDeleted"}})
    return {
        "created": created,
        "deleted": deleted,
        "active": created - deleted,
        "days": [
            {"day": day, "created": counted[day, "UserCreated"], "deleted": counted[day, "UserDeleted"]} for day in days
        ],
    }


def on(app: Application, day: str, commit: Commit) -> Commit:
    """Move a stored commit to another day."""
    moved = replace(commit, at=datetime.fromisoformat(f"{day}T23:59:59.999Z"))
    app.overwrite(moved)
    return moved


def several_users(app: Application) -> list[Commit]:
    """Append six users, four changed, two deleted, over several days; return the commits."""
    commits: list[Commit] = []
    for number in range(6):
        events: list[UserEvent] = [UserCreated(name="A"), *[UserUpdated(name="B")] * (number % 3)]
        events += [UserDeleted()] * (number % 2)
        for place, commit in enumerate(app.append(str(number), *events)):
            commits.append(on(app, f"2026-01-{1 + number + 2 * place:02}", commit))
    return commits


def test_nothing_happened_yet(app: Application) -> None:
    answer = app.request("GET", "/stats")
    assert (answer.status, answer.body) == (200, {"created": 0, "deleted": 0, "active": 0, "days": []})


def test_users_are_counted_when_created_and_deleted_and_not_when_changed(app: Application) -> None:
    ids = [app.create(name) for name in "ABC"]
    app.rename(ids[0], "D")
    for _ in range(2):
        app.request("DELETE", f"/users/{ids[1]}")
    assert app.request("GET", "/stats").body["created"] == 0  # Nothing is projected yet.
    app.project()
    today = datetime.now(UTC).date().isoformat()
    assert app.request("GET", "/stats").body == {
        "created": 3,
        "deleted": 1,
        "active": 2,
        "days": [{"day": today, "created": 3, "deleted": 1}],
    }


def test_each_day_in_utc_shows_what_happened_on_it(app: Application) -> None:
    app.project(several_users(app))
    assert app.stats() == recount(app)
    assert len(app.stats()["days"]) > 4


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [
        ("2026-01-01", "2026-01-31", ["2026-01-01", "2026-01-03", "2026-01-05"]),
        ("2026-01-01", "2026-01-03", ["2026-01-01", "2026-01-03"]),
        ("2026-01-03", "2026-01-03", ["2026-01-03"]),
        ("2026-01-02", "2026-01-02", []),
        ("2025-01-03", "2026-01-03", ["2026-01-01", "2026-01-03"]),
        ("2000-01-01", "2000-12-31", []),
        ("2999-12-31", "2999-12-31", []),
    ],
)
def test_the_days_asked_for_are_shown_both_ends_included_and_the_totals_stay(
    app: Application, first: str, last: str, shown: list[str]
) -> None:
    for id_, day in (("1", "2026-01-01"), ("2", "2026-01-03"), ("3", "2026-01-05")):
        app.project([on(app, day, *app.append(id_, UserCreated(name="A")))])
    stats = app.stats(first, last)
    assert [day["day"] for day in stats["days"]] == shown
    assert (stats["created"], stats["active"]) == (3, 3)


def test_without_dates_the_last_30_days_are_shown(app: Application) -> None:
    today = datetime.now(UTC).date()
    for ago in (0, 29, 30):
        app.project([on(app, str(today - timedelta(ago)), *app.append(str(ago), UserCreated(name="A")))])
    shown = app.request("GET", "/stats").body
    assert [day["day"] for day in shown["days"]] == [str(today - timedelta(29)), str(today)]
    until = app.request("GET", "/stats", query={"to": str(today - timedelta(1))}).body
    assert [day["day"] for day in until["days"]] == [str(today - timedelta(30)), str(today - timedelta(29))]
    since = app.request("GET", "/stats", query={"from": str(today - timedelta(1))}).body
    assert [day["day"] for day in since["days"]] == [str(today)]
    assert shown["created"] == until["created"] == since["created"] == 3


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2026-02-30",
        "2026-1-1",
        "2026-01-01T12:00:00Z",
        "1999-12-31",
        "3000-01-01",
        "10000-01-01",
        "-2026-01-01",
        "9" * 400,
        "NaN",
        "\0",
        "\ud800",
        "\u0662\u0660\u0662\u0666-01-01",
    ],
    ids=ascii,
)
def test_a_date_that_makes_no_sense_is_400(app: Application, name: str, value: str) -> None:
    answer = app.request("GET", "/stats", query={name: value})
    assert (answer.status, answer.body["errors"][0]["field"]) == (400, f"query.{name}")


@pytest.mark.parametrize(
    ("first", "last", "detail"),
    [
        ("2026-01-02", "2026-01-01", "The first day is not after the last."),
        ("2999-12-31", "", "The first day is not after the last."),
        ("2025-01-01", "2026-01-02", "One answer shows at most 366 days."),
        ("2000-01-01", "2999-12-31", "One answer shows at most 366 days."),
    ],
)
def test_a_span_that_makes_no_sense_is_400_and_not_cut_in_silence(
    app: Application, first: str, last: str, detail: str
) -> None:
    answer = app.request("GET", "/stats", query={"from": first} | ({"to": last} if last else {}))
    assert (answer.status, answer.body["detail"]) == (400, detail)


def test_a_whole_leap_year_fits_in_one_answer(app: Application) -> None:
    assert (date(2024, 12, 31) - date(2024, 1, 1)).days == 365
    assert app.stats("2024-01-01", "2024-12-31")["days"] == []


# --- Exactly once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_statistics_equal_a_recount_after_duplicates_and_in_any_order_and_any_batches(
    app: Application, seed: int
) -> None:
    draw = random.Random(seed)  # noqa: S311 - a seeded shuffle
    commits = several_users(app)
    delivered = [*commits, *draw.choices(commits, k=len(commits))]
    draw.shuffle(delivered)
    for batch in batched(delivered, draw.randint(1, 7), strict=False):
        app.project(batch)
    assert app.stats() == recount(app)
    app.project(commits)
    assert app.stats() == recount(app)


def test_statistics_equal_a_recount_where_only_each_users_last_record_arrives(app: Application) -> None:
    commits = several_users(app)
    app.project({commit.stream: commit for commit in commits}.values())
    assert app.stats() == recount(app)


def test_statistics_equal_a_recount_after_streams_were_parked_and_redriven(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = main.application.tally_store.add
    commits = several_users(app)

    def throttled(tally: str, counts: Counts, moved: Moved) -> None:
        if {one.stream for one in moved} & {"user-1", "user-5"}:
            raise StoreUnavailableError("ThrottlingException")
        add(tally, counts, moved)

    with monkeypatch.context() as patch:
        patch.setattr(main.application.tally_store, "add", throttled)
        app.project(commits)
        assert [(one.projection, one.stream) for one in app.parked()] == [("stats", "user-1"), ("stats", "user-5")]
        assert app.stats()["created"] == 4
        assert app.redrive() == {"redriven": 0, "parked": 2}
    for answer in ({"redriven": 2, "parked": 0}, {"redriven": 0, "parked": 0}):
        assert app.redrive() == answer
        assert app.stats() == recount(app)


@pytest.mark.parametrize("lost", range(1, 4))
def test_an_answer_that_is_lost_counts_nothing_twice(
    app: Application, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    add = main.application.tally_store.add
    calls = 0

    def answers_get_lost(tally: str, counts: Counts, moved: Moved) -> None:
        nonlocal calls
        calls += 1
        add(tally, counts, moved)
        if calls <= lost:
            raise StoreUnavailableError("ReadTimeoutError")

    commits = several_users(app)
    monkeypatch.setattr(main.application.tally_store, "add", answers_get_lost)
    for _, one in groupby(commits, key=lambda commit: commit.stream):
        app.project(one)
    assert len(app.parked()) == lost
    assert app.redrive() == {"redriven": lost, "parked": 0}
    assert app.stats() == recount(app)


@pytest.mark.parametrize("known", [0, 1])
def test_a_batch_that_is_delivered_twice_at_the_same_time_is_counted_once(
    app: Application, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    """The other delivery comes in between this one's look at the checkpoint and its write."""
    commits = app.append("1", UserCreated(name="A"), UserDeleted())
    app.project(commits[:known])
    read = main.application.tally_store.checkpoints
    (target,) = (target for target in main.application.targets if target.name == "stats")
    deliveries = iter([commits])

    def overtaken(tally: str, streams: Sequence[str], **how: bool) -> dict[str, Checkpoint]:
        found = read(tally, streams, **how)
        for other in deliveries:
            main.application.runner.run(target, other)
        return found

    monkeypatch.setattr(main.application.tally_store, "checkpoints", overtaken)
    app.project(commits)
    assert app.parked() == []
    assert app.stats() == recount(app)


def test_each_user_keeps_to_one_shard_so_that_no_part_of_the_sum_is_ever_negative(app: Application) -> None:
    app.project(several_users(app))
    items = app.client.scan(TableName="read-models")["Items"]
    totals = [item for item in items if item["key"]["S"].startswith("stats#total#")]
    assert len(totals) > 1
    assert all(
        int(item.get("created", {"N": "0"})["N"]) >= int(item.get("deleted", {"N": "0"})["N"]) for item in totals
    )
