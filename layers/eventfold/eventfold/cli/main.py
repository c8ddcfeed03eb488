"""The operator's command line, put together: `eventfold GROUP VERB`."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from eventfold.cli.claims import claims
from eventfold.cli.doctor import doctor
from eventfold.cli.events import events
from eventfold.cli.files import FileInTheWayError
from eventfold.cli.options import Interrupted, NotFoundError, aside
from eventfold.cli.parallel import WorkerKilledError
from eventfold.cli.parked import parked
from eventfold.cli.projections import projections
from eventfold.cli.snapshots import snapshots
from eventfold.cli.streams import streams
from eventfold.cli.target import Flags, NoApplicationError, NoStackError
from eventfold.cli.transfer import export_, import_
from eventfold.cli.verify import verify
from eventfold.core.errors import EventfoldError

if TYPE_CHECKING:
    from types import FrameType

EXPECTED = (
    NoApplicationError,
    NoStackError,
    NotFoundError,
    WorkerKilledError,
    FileInTheWayError,
    OSError,
    EventfoldError,
    BotoCoreError,
    ClientError,
)
"""What goes wrong without being a fault of the program: a message, and no traceback."""

INTERRUPTED = 130
"""What a program that Ctrl-C has ended leaves as its exit code: 128 and the signal's number."""

program = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Look after an eventfold stack: the local one, or one on AWS. Exit codes: 0 fine, 1 found something, 2 error.",
)
program.add_typer(parked, name="parked")
program.add_typer(projections, name="projection")
program.add_typer(streams, name="stream")
program.add_typer(events, name="events")
program.add_typer(snapshots, name="snapshot")
program.add_typer(claims, name="claims")
program.command("verify")(verify)
program.command("export")(export_)
program.command("import")(import_)
program.command("doctor")(doctor)


@program.callback()
def stack(
    context: typer.Context,
    app: Annotated[
        str | None,
        typer.Option(help="The application, as app.main:application; else the project's.", envvar="EVENTFOLD_APP"),
    ] = None,
    stack: Annotated[str | None, typer.Option(help="A CloudFormation stack; without it, the local one.")] = None,
    profile: Annotated[str | None, typer.Option(help="An AWS profile.")] = None,
    region: Annotated[str | None, typer.Option(help="An AWS region.")] = None,
) -> None:
    """Note which application and stack to work on; a command connects when it needs it."""
    context.obj = Flags(app, stack, profile, region)


def main() -> None:
    """Run the command line; what is expected to go wrong is a message and exit code 2."""
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        program()
    except EXPECTED as error:
        aside().print(f"[red]✗[/] {escape(str(error))}")
        raise SystemExit(2) from None
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """End cleanly, with everything that a `finally` does; a second Ctrl-C does not cut that short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Interrupted(INTERRUPTED)


if __name__ == "__main__":
    main()
