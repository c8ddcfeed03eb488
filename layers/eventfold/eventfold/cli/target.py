"""Which deployed stack a command works on, and how to reach it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from eventfold.application import Application, Settings
from eventfold.dynamodb.client import aws_session

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

LOCAL_STACK = "eventfold-local"
LOCAL_REGION = "us-east-1"
API_URL = Path(".local/api-url")
"""Where `make run` leaves the address, in the project's folder."""

PROJECT_FILE = "pyproject.toml"
"""What marks the project's folder: the search for the address and for the application ends there."""

_SHARDS = {"ListShards": "list_shards", "TallyShards": "tally_shards"}
"""Parameters that say where the functions write and read: with others than theirs, rows and counters seem to lack."""


class NoStackError(Exception):
    """There is no stack to work on; the message says what to do."""


class NoApplicationError(Exception):
    """There is no application to work on; the message says what to do."""


@dataclass(frozen=True)
class Flags:
    """What the command line says: of the application, and of the stack. Nothing of the three means the local one."""

    app: str | None
    stack: str | None
    profile: str | None
    region: str | None

    @property
    def is_local(self) -> bool:
        """Whether the local stack is meant."""
        return self.stack is self.profile is self.region is None


@dataclass(frozen=True)
class Stack:
    """A stack that was found: the application on its tables, and on AWS the state machine that rebuilds read models."""

    app: Application
    state_machine: str | None


def connect(flags: Flags) -> Application:
    """Return the application on the stack's tables; see `find`."""
    return find(flags).app


def find(flags: Flags) -> Stack:
    """Find the stack and its tables.

    Raises:
        NoApplicationError: nobody says which application, or it can't be imported.
        NoStackError: the stack does not run, is not there, or can't be asked.
    """
    application = application_named(flags.app or _app_of_project())
    endpoint = None
    if flags.is_local:
        endpoint = _local_endpoint()
        # The emulator's credentials, which open nothing else.
        aws_session().set_credentials("test", "test")
        aws_session().set_config_variable("region", LOCAL_REGION)
    else:
        for name, value in (("profile", flags.profile), ("region", flags.region)):
            if value is not None:
                aws_session().set_config_variable(name, value)
        try:
            aws_session().get_scoped_config()
        except BotoCoreError as error:
            raise NoStackError(str(error)) from error
    if boto3.DEFAULT_SESSION is None:  # It extends the session that it is given, once.
        boto3.setup_default_session(botocore_session=aws_session())
    stack = stack_name(flags)
    outputs, parameters = _asked(stack, endpoint)
    shards = {name: parameters[key] for key, name in _SHARDS.items() if key in parameters}
    try:
        settings = Settings.model_validate(
            {
                "events_table": outputs["EventsTableName"],
                "read_models_table": outputs["ReadModelsTableName"],
                "parked_table": outputs["ParkedTableName"],
                "claims_table": outputs["ClaimsTableName"],
                "claims_key": outputs["ClaimsKeyArn"],
                "failures_bucket": outputs["FailuresBucketName"],
                "aws_endpoint_url": endpoint,
                **shards,
            }
        )
    except KeyError as missing:
        raise NoStackError(f"The stack {stack!r} has no output {missing}. Is it an eventfold stack?") from None
    return Stack(application.on(settings), None if endpoint else outputs.get("RebuildStateMachineArn"))


def stack_name(flags: Flags) -> str:
    """Return the name of the stack that the command line means."""
    return flags.stack or (LOCAL_STACK if flags.is_local else "eventfold")


def application_named(name: str) -> Application:
    """Return an application by its module and its name there: `app.main:application`.

    Raises:
        NoApplicationError: it can't be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute or "application")
    except (ImportError, AttributeError, ValueError) as error:
        raise NoApplicationError(
            f"The application {name!r} can't be imported: {error}. Its project has to be installed beside eventfold."
        ) from error
    if not isinstance(found, Application):
        raise NoApplicationError(f"{name!r} is no eventfold Application.")
    return found


def file_above(name: str) -> Path:
    """Return a file of the project, from this folder or from any below it.

    Raises:
        NoStackError: there is none.
    """
    found = next((folder / name for folder in _folders() if (folder / name).is_file()), None)
    if found is None:
        raise NoStackError(f"There is no {name} here: run this in the project's folder, or name the file.")
    return found


def _app_of_project() -> str:
    """Return what the project says, whose folder this is."""
    project = _folders()[-1] / PROJECT_FILE
    told = tomllib.loads(project.read_text()).get("tool", {}).get("eventfold", {}) if project.is_file() else {}
    if app := told.get("app"):
        return str(app)
    raise NoApplicationError(
        "Which application? Name it with --app app.main:application, as EVENTFOLD_APP, or in the project's "
        f'{PROJECT_FILE}: [tool.eventfold] app = "app.main:application".'
    )


def _folders() -> list[Path]:
    """Return this folder and those above, up to the project's."""
    here, found = Path.cwd(), []
    for folder in (here, *here.parents):
        found.append(folder)
        if (folder / PROJECT_FILE).is_file():
            break
    return found


def _local_endpoint() -> str:
    for folder in _folders():
        if (folder / API_URL).is_file():
            return (folder / API_URL).read_text().partition("/_aws/")[0].strip()
    raise NoStackError("The local stack does not run. Start it with `make run`, or name one on AWS with --stack.")


def _asked(stack: str, endpoint: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return the stack's outputs and parameters."""
    try:
        cloudformation: CloudFormationClient = boto3.client("cloudformation", endpoint_url=endpoint)
        (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except (ClientError, BotoCoreError) as error:
        raise NoStackError(f"The stack {stack!r} can't be asked for its tables: {error}") from error
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    return outputs, {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
