"""Why a query is not answered: apart from the read models, since every function has to know them."""


class InvalidCursorError(ValueError):
    """The cursor was not made by a query with this prefix."""


class VersionNotReachedError(Exception):
    """The user has not come to the version asked for."""
