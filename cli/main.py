"""The operator's command line, put together: `eventfold GROUP VERB`."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from cli.doctor import doctor
from cli.events import events
from cli.files import FileInTheWayError
from cli.options import Interrupted, NotFoundError, aside
from cli.parallel import WorkerKilledError
from cli.parked import parked
from cli.projections import projections
from cli.snapshots import snapshots
from cli.streams import streams
from cli.target import Flags, NoStackError
from cli.whole import export_, import_, verify
from eventfold.core.errors import EventfoldError

if TYPE_CHECKING:
    from types import FrameType

EXPECTED = (
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

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Look after an eventfold stack: the local one, or one on AWS. Exit codes: 0 fine, 1 found something, 2 error.",
)
app.add_typer(parked, name="parked")
app.add_typer(projections, name="projection")
app.add_typer(streams, name="stream")
app.add_typer(events, name="events")
app.add_typer(snapshots, name="snapshot")
app.command("verify")(verify)
app.command("export")(export_)
app.command("import")(import_)
app.command("doctor")(doctor)


@app.callback()
def stack(
    context: typer.Context,
    stack: Annotated[str | None, typer.Option(help="A CloudFormation stack; without it, the local one.")] = None,
    profile: Annotated[str | None, typer.Option(help="An AWS profile.")] = None,
    region: Annotated[str | None, typer.Option(help="An AWS region.")] = None,
) -> None:
    """Note which stack to work on; a command connects when it needs it."""
    context.obj = Flags(stack, profile, region)


def main() -> None:
    """Run the command line; what is expected to go wrong is a message and exit code 2."""
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        app()
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
