"""What events are: events, upcasting, deciders, commits, errors, the event store's port. Imports no other room."""
