"""The stack on a laptop: emulator, deployment, demo. Not deployed."""
