"""One stream: commands on it, its replay, snapshots, cached states and history. Imports core."""
