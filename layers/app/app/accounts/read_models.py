"""The accounts' read models."""

from app.accounts.balances import BALANCES

READ_MODELS = (BALANCES,)
