"""Performance: measured, and simulated past one machine."""
