"""All streams at once: scans, and the rebuild, verify and transfer on them. Imports core and read_models."""
