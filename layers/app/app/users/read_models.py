"""The users' read models."""

from app.users.directory import DIRECTORY
from app.users.stats import STATS

READ_MODELS = (DIRECTORY, STATS)
