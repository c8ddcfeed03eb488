"""The stack on a laptop: emulator, deployment, demo. Nothing of it is deployed."""
