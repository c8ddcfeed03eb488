"""Events into rows and counters, live: projections, tallies, projector, parking, generations. Imports core."""
