"""Which deployed stack a command works on, and how to reach it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from app.settings import Settings, use
from eventfold.dynamodb.client import aws_session

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

LOCAL_STACK = "eventfold-local"
LOCAL_REGION = "us-east-1"
API_URL = Path(".local/api-url")
"""Where `make run` leaves the address, in the project's folder."""

PROJECT_FILE = "pyproject.toml"
"""What marks the project's folder: the search for the address ends there."""

STATE_MACHINE: list[str] = []
"""The state machine that rebuilds read models, where the stack is one on AWS."""


_SHARDS = {"ListShards": "list_shards", "TallyShards": "tally_shards"}
"""Parameters that say where the functions write and read: with others than theirs, rows and counters seem to lack."""


class NoStackError(Exception):
    """There is no stack to work on; the message says what to do."""


@dataclass(frozen=True)
class Flags:
    """What the command line says of the stack; nothing of the three means the local one."""

    stack: str | None
    profile: str | None
    region: str | None

    @property
    def is_local(self) -> bool:
        """Whether the local stack is meant."""
        return self.stack is self.profile is self.region is None


def connect(flags: Flags) -> None:
    """Find the stack's tables and make the application work on them.

    Raises:
        NoStackError: the stack does not run, is not there, or can't be asked.
    """
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
    boto3.setup_default_session(botocore_session=aws_session())
    stack = stack_name(flags)
    outputs, parameters = _asked(stack, endpoint)
    shards = {name: parameters[key] for key, name in _SHARDS.items() if key in parameters}
    STATE_MACHINE[:] = [outputs[name] for name in ("RebuildStateMachineArn",) if name in outputs and not endpoint]
    try:
        use(
            Settings.model_validate(
                {
                    "events_table": outputs["EventsTableName"],
                    "read_models_table": outputs["ReadModelsTableName"],
                    "parked_table": outputs["ParkedTableName"],
                    "failures_bucket": outputs["FailuresBucketName"],
                    "aws_endpoint_url": endpoint,
                    **shards,
                }
            )
        )
    except KeyError as missing:
        raise NoStackError(f"The stack {stack!r} has no output {missing}. Is it an eventfold stack?") from None


def stack_name(flags: Flags) -> str:
    """Return the name of the stack that the command line means."""
    return flags.stack or (LOCAL_STACK if flags.is_local else "eventfold")


def _local_endpoint() -> str:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / API_URL).is_file():
            return (folder / API_URL).read_text().partition("/_aws/")[0].strip()
        if (folder / PROJECT_FILE).is_file():
            break
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
