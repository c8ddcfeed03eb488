"""Performance: measured, charted, and simulated past one machine."""
