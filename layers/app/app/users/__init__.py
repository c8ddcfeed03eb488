"""Users: the rules, the read models, and the routes. All that knows users is here."""

from app.users.rules import USERS

DECIDERS = (USERS,)
