"""HTTP commands: the routes that each aggregate has for its own."""

from typing import Any

from app import main
from app.http import Api, LambdaContext
from app.telemetry import invocation

api = Api(main.application.packages, "commands")


@invocation
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request from API Gateway (HTTP API, payload format 2.0)."""
    return api.resolve(event, context)
