"""One contract, every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest

from eventfold.dynamodb.claims import DynamoDBClaimStore
from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
from eventfold.memory import MemoryEventStore
from eventfold.testing.contract import ScanContract, StoreContract, StoreWithScan
from eventfold.testing.transactions import TransactionContract
from eventfold.testing.unique import UniqueKeyContract
from tests.conftest import CLAIMS_TABLE, EVENTS_TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.core.unique import ClaimStore


class TestMemory(StoreContract, TransactionContract, UniqueKeyContract, ScanContract):
    @pytest.fixture
    def store(self) -> MemoryEventStore:
        return MemoryEventStore()

    @pytest.fixture
    def claims(self, store: MemoryEventStore) -> ClaimStore:
        return store


class TestMoto(StoreContract, TransactionContract, UniqueKeyContract, ScanContract):
    @pytest.fixture
    def store(self, moto_client: DynamoDBClient) -> StoreWithScan:
        return ScannableDynamoDBEventStore(moto_client, EVENTS_TABLE, CLAIMS_TABLE)

    @pytest.fixture
    def claims(self, moto_client: DynamoDBClient) -> ClaimStore:
        return DynamoDBClaimStore(moto_client, CLAIMS_TABLE)

    # moto lets several racing puts win; DynamoDB Local is the judge of races.
    test_of_many_writers_at_one_version_exactly_one_wins = None  # type: ignore[assignment]
    test_of_writers_that_cross_each_other_each_wins_whole_or_not_at_all = None  # type: ignore[assignment]
    test_of_many_who_claim_a_key_exactly_one_has_it = None  # type: ignore[assignment]


@pytest.mark.dynamodb_local
class TestDynamoDBLocal(StoreContract, TransactionContract, UniqueKeyContract, ScanContract):
    @pytest.fixture
    def store(self, local_client: DynamoDBClient, local_tables: tuple[str, str], local_claims: str) -> StoreWithScan:
        return ScannableDynamoDBEventStore(local_client, local_tables[0], local_claims)

    @pytest.fixture
    def claims(self, local_client: DynamoDBClient, local_claims: str) -> ClaimStore:
        return DynamoDBClaimStore(local_client, local_claims)


@pytest.mark.dynamodb_local
class TestDynamoDBLocalParsedByBotocore(TestDynamoDBLocal):
    """What `OneParse` falls back on."""

    @pytest.fixture
    def store(self, dynamodb_local_url: str, local_tables: tuple[str, str], local_claims: str) -> StoreWithScan:
        client = boto3.client("dynamodb", endpoint_url=dynamodb_local_url)
        return ScannableDynamoDBEventStore(client, local_tables[0], local_claims)
