"""An application put together: aggregates and read models on their tables, each part made once. Imports all rooms."""

from eventfold.application.parts import Application
from eventfold.application.settings import Settings

__all__ = ["Application", "Settings"]
