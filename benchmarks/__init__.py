"""Performance: measured on one machine, and reckoned past it."""
