"""What DynamoDB charges on demand in us-east-1: https://aws.amazon.com/dynamodb/pricing/on-demand/ (2026)."""

WRITE_UNIT = 0.625 / 1_000_000
"""Dollars for one write request unit: 1 KB written. A transaction's item takes two."""
READ_UNIT = 0.125 / 1_000_000
"""Dollars for one read request unit: 4 KB read consistently, 8 KB eventually."""
