"""A read model filled anew while it is live: its steps, the filling, the verification, its progress."""
