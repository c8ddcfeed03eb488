"""All that an application takes from its environment: the one place that reads it."""

from __future__ import annotations

import os

from pydantic import BaseModel, NonNegativeInt, PositiveInt


class Settings(BaseModel, frozen=True):
    """Set by template.yaml. `snapshot_every` is in events; an endpoint URL is for emulators.

    `cached_states` is how many aggregates a process of the command function remembers, `projection_writers` how many
    streams the projection function writes at the same time. `list_shards` is how many partitions of the index a rebuild
    spreads a list over, `tally_shards` over how many items counters are spread. The `failures_bucket` is the redrive's.
    `claims_key` names the secret of Secrets Manager that keys the hash of unique keys. `base_path` is what a custom
    domain puts before each path.
    """

    events_table: str
    read_models_table: str
    parked_table: str
    claims_table: str | None = None
    claims_key: str | None = None
    failures_bucket: str | None = None
    snapshot_every: PositiveInt = 50
    cached_states: NonNegativeInt = 1000
    projection_writers: PositiveInt = 8
    list_shards: PositiveInt = 16
    tally_shards: PositiveInt = 4
    base_path: str = ""
    aws_endpoint_url: str | None = None


def from_environment() -> Settings:
    """Return what the environment says.

    Raises:
        pydantic.ValidationError: a setting is missing or wrong; names it.
    """
    names = Settings.model_fields
    return Settings.model_validate({name: os.environ[name.upper()] for name in names if name.upper() in os.environ})
