"""`eventfold claims build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from eventfold.cli.options import AsJson, NotFoundError, Rate, aside, console, print_json
from eventfold.cli.target import connect
from eventfold.operations.claims import ClaimBuild
from eventfold.operations.reading import SteadyPages, TableSource

if TYPE_CHECKING:
    from eventfold.operations.verify.finding import Finding

claims = typer.Typer(no_args_is_help=True, help="Which aggregate has which unique key.")


@claims.command("build")
def build(context: typer.Context, *, rate: Rate = None, as_json: AsJson = False) -> None:
    """Claim the unique keys of all events that are there, and release what no state has. Exit code 1 if two have one.

    For when a key has become one, or its hash another; after an import or a restore. Commands may go on meanwhile, once
    all of them are run by code that has the rule. A key that two have stays with who has claimed it.

    Example: eventfold claims build
    """
    app = connect(context.obj)
    if not app.has_unique_keys:
        raise NotFoundError("No aggregate has unique keys.")

    def tell(finding: Finding) -> None:
        if as_json:
            print_json({"stream": finding.stream, "what": finding.what})
        else:
            console.print(f"[red]✗[/] {escape(finding.stream)}: {escape(finding.what)}")

    run = ClaimBuild(app.claim_books, tell)
    with aside().status("Claiming ...") as shown:

        def beat() -> bool:
            shown.update(f"Claiming: {run.streams:,} streams, {run.claimed:,} keys ...")
            return False

        run.run(SteadyPages(TableSource(app.scannable_store, 1), 0, None, rate=rate, beat=beat))
    told = {name: getattr(run, name) for name in ("streams", "keys", "claimed", "released", "duplicates", "unreadable")}
    if as_json:
        print_json(told)
    else:
        done = f"{run.streams:,} streams, {run.keys:,} keys: {run.claimed:,} claimed now, {run.released:,} released"
        names = ", ".join(f"{one.category}.{rule.name}" for one in app.deciders.values() for rule in one.unique)
        if run.duplicates:
            console.print(
                f"{done}. {run.duplicates:,} keys are had by two: the rule is in force for all others. Give one of the "
                "two another key, and run this again."
            )
        elif run.unreadable:
            console.print(f"{done}. {run.unreadable:,} streams can't be replayed: eventfold verify says why.")
        else:
            console.print(f"[green]✓[/] {done}. In force: {escape(names)}.")
    raise typer.Exit(1 if run.duplicates or run.unreadable else 0)
