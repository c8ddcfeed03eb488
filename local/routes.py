"""The API's routes on the emulator, which ignores the OpenAPI body that SAM makes of the functions' events.

CloudFormation hands that body to API Gateway, which makes routes, integrations and the authorizer of it by itself:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_apigatewayv2 import ApiGatewayV2Client

_FUNCTION = re.compile(r"\$\{(\w+Function)(?:Alias(\w+)|\.Arn)\}")


def make_routes(
    client: ApiGatewayV2Client,
    api: str,
    body: Mapping[str, Any],
    functions: Mapping[str, str],
    parameters: Mapping[str, str],
) -> None:
    """Give the API the routes of its body, in the place of those it has, and CORS.

    `functions` are the functions' ARNs by their names in the template, `parameters` the stack's.
    """
    for old in client.get_routes(ApiId=api)["Items"]:
        client.delete_route(ApiId=api, RouteId=old["RouteId"])
    access = _access(client, api, parameters)
    if parameters["CorsOrigins"]:
        _, cors, _ = body["x-amazon-apigateway-cors"]["Fn::If"]
        named: Any = {name[0].upper() + name[1:]: value for name, value in cors.items()}
        named["AllowOrigins"] = parameters["CorsOrigins"].split(",")
        client.update_api(ApiId=api, CorsConfiguration=named)
    for route, function, alias in _routes(body):
        uri = f"{functions[function]}:{alias}" if alias else functions[function]
        integration = client.create_integration(
            ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=uri, PayloadFormatVersion="2.0"
        )
        client.create_route(ApiId=api, RouteKey=route, Target=f"integrations/{integration['IntegrationId']}", **access)


def _routes(body: Mapping[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    for path, operations in body["paths"].items():
        for method, operation in operations.items():
            found = _FUNCTION.search(operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"])
            if found is None:
                raise ValueError(f"{method} {path} leads to no function")
            yield f"{method.upper()} {path}", found[1], found[2]


def _access(client: ApiGatewayV2Client, api: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return who may call a route, by the parameter AuthMode."""
    mode = parameters["AuthMode"]
    if mode != "JWT":
        return {"AuthorizationType": mode}
    authorizer = client.create_authorizer(
        ApiId=api,
        Name="jwt",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": parameters["JwtIssuer"], "Audience": [parameters["JwtAudience"]]},
    )
    return {"AuthorizationType": mode, "AuthorizerId": authorizer["AuthorizerId"]}
