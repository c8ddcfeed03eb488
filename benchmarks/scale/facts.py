"""What AWS documents, and its prices: limits of us-east-1, on demand, each with its source.

What is modelled and not documented stands under MODELLED, with the reason.
"""

from __future__ import annotations

PARTITION_WCU = 1_000
"""Write units a second of one partition, and so of one key.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html"""
PARTITION_RCU = 3_000
"""Read units a second of one partition, and so of one item. The same page."""
READ_UNIT_BYTES = 4 * 1024
"""Read consistently in one request; eventually consistent, they are half a unit.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-unit-calculations.html"""
NEW_TABLE_WCU = 4_000
"""What a new on-demand table or index takes at once; twice the peak so far within 30 minutes.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html"""
DOUBLING_SECONDS = 30 * 60
TABLE_QUOTA_WCU = 40_000
"""Default quota of one on-demand table, and of each index; raised on request.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html"""
TRANSACTION_FACTOR = 2
"""A write in a transaction is billed twice.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html"""
MOVED_UNITS = 2
"""Units of an entry in the index whose sort key changes: a delete and a put. Any other change of it is one.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations"""
POLL_SECONDS = 0.25
"""Lambda polls a stream's shard four times a second.
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html"""
CONCURRENCY_QUOTA = 1_000
"""Default quota of executions at the same time, for all functions of an account; raised on request.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
CONCURRENCY_STEP, CONCURRENCY_STEP_SECONDS = 1_000, 10
"""By how much one function grows, at the most.
https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html"""
VCPU_MB = 1_769
"""Memory at which a function has one vCPU; less memory, less CPU in proportion.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""
GATEWAY_QUOTA = 10_000
"""Default quota of requests a second to all APIs of an account; raised on request.
https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""

# Prices in dollars -----------------------------------------------------------------------------------------------

"""https://aws.amazon.com/dynamodb/pricing/on-demand/"""
GATEWAY_REQUEST, GATEWAY_REQUEST_PAST_300_M = 1.00e-6, 0.90e-6
"""An HTTP API, the first 300 million a month and those above. https://aws.amazon.com/api-gateway/pricing/"""
GATEWAY_TIER_A_DAY = 300e6 / 30
LAMBDA_REQUEST, LAMBDA_GB_SECOND = 0.20e-6, 0.0000133334
"""ARM, first tier. Streams are read for nothing by Lambda. https://aws.amazon.com/lambda/pricing/"""
LOG_GB = 0.50
"""CloudWatch Logs, ingested. https://aws.amazon.com/cloudwatch/pricing/"""
ALARM_A_MONTH, METRIC_A_MONTH, DASHBOARD_A_MONTH = 0.10, 0.30, 3.00
"""Each alarm, each metric of our own, the dashboard. https://aws.amazon.com/cloudwatch/pricing/"""

# MODELLED --------------------------------------------------------------------------------------------------------

DYNAMODB_SECONDS = 0.005
"""One request's round trip: "single-digit milliseconds" is all that is documented, and this the middle of it.
A transaction prepares and commits, so it is reckoned as two.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Introduction.html"""
ACCESS_LOG_BYTES = 120
"""A line of template.yaml's access log format, filled in."""
LISTED_ROW_BYTES = 250
"""A user in the index of lists, with a name and an e-mail address of a usual length."""
CONFLICT_RETRIES = 8
"""How often a tally tries a transaction that another one was in the way of (eventfold.dynamodb.tallies)."""
CONFLICT_LOSS = 0.01
"""Transactions that may be given up, and their batch tried again, before the counter counts as over its limit."""
