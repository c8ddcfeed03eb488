"""Events out of a table into a file, and from a file into a table."""
