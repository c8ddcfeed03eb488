"""`eventfold doctor`: asks AWS how a stack is, and has the answers judged."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path  # noqa: TC003 - typer reads the annotation at run time
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import typer
from botocore.exceptions import ClientError
from rich.markup import escape

from eventfold.cli.diagnosis import (
    Level,
    Line,
    environment_line,
    lag_line,
    mapping_lines,
    parked_line,
    protection_line,
    recovery_line,
    rights_line,
    table_lines,
)
from eventfold.cli.expected import Expected, partition_of
from eventfold.cli.options import AsJson, console, print_json
from eventfold.cli.target import connect, file_above, stack_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient

    from eventfold.application import Application

_MARKS: dict[Level, str] = {
    "ok": "[green]✓[/]",
    "warn": "[yellow]![/]",
    "fail": "[red]✗[/]",
    "not told here": "[dim]?[/]",
}
_REFUSED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_LAG_MINUTES = 15


def doctor(
    context: typer.Context,
    *,
    template: Annotated[Path | None, typer.Option(help="The template; without it, the project's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a deployed stack against template.yaml: tables, mappings, functions, rights, parked streams, lag.

    Exit code 1 if anything is not as it should be. Changes nothing.

    Example: eventfold --stack eventfold --profile prod doctor
    """
    app = connect(context.obj)
    lines = []
    for line in Examination(
        app, template or file_above("template.yaml"), stack_name(context.obj), local=context.obj.is_local
    ).lines():
        lines.append(line)
        if not as_json:
            _show(line)
    found = Counter(line.level for line in lines)
    if as_json:
        print_json([dataclasses.asdict(line) for line in lines])
    else:
        console.print(", ".join(f"{found[level]} {level}" for level in _MARKS if found[level]) + ".")
    raise typer.Exit(1 if found["fail"] or found["warn"] else 0)


def _show(line: Line) -> None:
    console.print(f"{_MARKS[line.level]} [bold]{escape(line.about)}[/]: {escape(line.what)}")
    if line.todo:
        console.print(f"  {escape(line.todo)}")


@dataclass(frozen=True)
class Examination:
    """Asks about everything in one stack. What may not be asked is a line of its own, and the rest goes on."""

    app: Application
    template: Path
    stack: str
    local: bool

    def lines(self) -> Iterator[Line]:
        """Yield what was found, in order of what depends on what."""
        # A stack that was given its event table has none of its own.
        named = {"EventsTable": self.app.settings.events_table} | self._names("AWS::DynamoDB::Table")
        tables = {name: self._table(physical) for name, physical in named.items()}
        expected = self._expected(tables)
        for name, declared in expected.of_type("AWS::DynamoDB::Table").items():
            if name not in tables:
                yield _missing(name)
                continue
            yield from table_lines(name, declared, tables[name])
            yield from self._asked(name, partial(self._recovery, name, tables[name]))
        wanted = str(expected.parameters.get("DeletionProtection", "true")) == "true"
        yield protection_line(tables.get("EventsTable", {}), wanted=wanted, local=self.local)
        for name, declared in expected.of_type("AWS::Lambda::EventSourceMapping").items():
            yield from self._asked(name, partial(self._mapping, name, declared, expected))
        for name in expected.of_type("AWS::Serverless::Function"):
            yield from self._asked(name, partial(self._function, name, expected))
        yield from self._asked("parked", lambda: [parked_line(sum(1 for _ in self.app.feed.waiting()))])
        for declared in expected.of_type("AWS::Lambda::EventSourceMapping").values():
            function = declared["FunctionName"]["Ref"]
            yield from self._asked(function, partial(self._lag, function, expected))

    def _asked(self, about: str, ask: Callable[[], Iterable[Line]]) -> list[Line]:
        try:
            return list(ask())
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _REFUSED:
                return [Line("warn", about, f"can't be asked: {code} for {error.operation_name}", "Ask for that right")]
            if code in {"ResourceNotFoundException", "NoSuchEntity"}:
                return [_missing(about)]
            raise

    def _recovery(self, name: str, table: Mapping[str, Any]) -> list[Line]:
        answer = self.app.dynamodb.describe_continuous_backups(TableName=table["TableName"])
        return [recovery_line(name, answer["ContinuousBackupsDescription"], local=self.local)]

    def _mapping(self, name: str, declared: Mapping[str, Any], expected: Expected) -> Iterator[Line]:
        if name not in expected.names:
            return iter([_missing(name)])
        client: LambdaClient = self._client("lambda")
        actual = client.get_event_source_mapping(UUID=expected.names[name])
        return mapping_lines(name, expected.resolved(dict(declared)), actual)

    def _function(self, name: str, expected: Expected) -> Iterator[Line]:
        if name not in expected.names:
            yield _missing(name)
            return
        client: LambdaClient = self._client("lambda")
        actual = client.get_function_configuration(FunctionName=expected.names[name])
        variables = actual.get("Environment", {}).get("Variables", {})
        yield environment_line(name, expected.variables(name), variables)
        role = actual["Role"].rpartition("/")[2]
        yield from self._asked(name, lambda: [rights_line(name, expected.rights(name), self._statements(role))])

    def _statements(self, role: str) -> list[Mapping[str, Any]]:
        """Return what a role's own policies say. The attached ones are AWS's own, for logs and traces."""
        iam: IAMClient = self._client("iam")
        documents: list[Any] = [
            iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=role)
            for name in page["PolicyNames"]
        ]
        return [statement for document in documents for statement in document["Statement"]]

    def _lag(self, name: str, expected: Expected) -> list[Line]:
        cloudwatch: CloudWatchClient = self._client("cloudwatch")
        now = datetime.now(UTC)
        answer = cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="IteratorAge",
            Dimensions=[{"Name": "FunctionName", "Value": expected.names.get(name, name)}],
            StartTime=now - timedelta(minutes=_LAG_MINUTES),
            EndTime=now,
            Period=60,
            Statistics=["Maximum"],
        )
        return [lag_line(name, [one["Maximum"] for one in answer["Datapoints"]], local=self.local)]

    def _expected(self, tables: Mapping[str, Mapping[str, Any]]) -> Expected:
        cloudformation: CloudFormationClient = self._client("cloudformation")
        (stack,) = cloudformation.describe_stacks(StackName=self.stack)["Stacks"]
        parameters = {one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", [])}
        arns = {f"{name}.Arn": table["TableArn"] for name, table in tables.items()}
        arns |= {f"{name}.StreamArn": table.get("LatestStreamArn", "") for name, table in tables.items()}
        names = self._names() | {"AWS::StackName": self.stack}
        partition = partition_of(arns.values())
        arns |= {
            f"{name}.Arn": f"arn:{partition}:s3:::{bucket}" for name, bucket in self._names("AWS::S3::Bucket").items()
        }
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
        arns["ClaimsKey.Id"] = outputs.get("ClaimsKeyArn", "")
        return Expected(self.template, parameters, names, arns)

    def _names(self, kind: str | None = None) -> dict[str, str]:
        cloudformation: CloudFormationClient = self._client("cloudformation")
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.stack)
        return {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for page in pages
            for one in page["StackResourceSummaries"]
            if kind in {None, one["ResourceType"]} and "PhysicalResourceId" in one
        }

    def _table(self, physical: str) -> Mapping[str, Any]:
        return self.app.dynamodb.describe_table(TableName=physical)["Table"]

    def _client(self, service: Any) -> Any:
        return boto3.client(service, endpoint_url=self.app.settings.aws_endpoint_url)


def _missing(name: str) -> Line:
    return Line("fail", name, "is in template.yaml, and not in the stack", "Deploy again: make deploy")
