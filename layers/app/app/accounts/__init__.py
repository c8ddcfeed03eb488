"""Accounts and their owners: rules over several streams, a unique number, a daily limit: see `money.py`."""

from app.accounts.owners import OWNERS
from app.accounts.rules import ACCOUNTS

DECIDERS = (ACCOUNTS, OWNERS)
