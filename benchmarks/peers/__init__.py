"""One file a peer: the same work, done with another library."""
