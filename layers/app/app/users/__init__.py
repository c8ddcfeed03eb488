"""The users: rules, read models. Everything that knows users lives here."""
