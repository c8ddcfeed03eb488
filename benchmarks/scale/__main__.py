"""`make scale`: where the deployed shape ends, up to 1,000,000 commands a second, and what it costs: docs/scale.md."""

from __future__ import annotations

import argparse

from benchmarks.load.figures import Measured
from benchmarks.scale.model import Model
from benchmarks.scale.page import markdown
from local.toolchain import ROOT, StepError, console, main_guard

MEASURED = ROOT / "benchmarks" / "scale" / "measured.json"
PAGE = ROOT / "docs" / "scale.md"


def main() -> int:
    """Reckon, and write docs/scale.md."""
    argparse.ArgumentParser(prog="make scale", description=main.__doc__).parse_args()
    try:
        measured = Measured.model_validate_json(MEASURED.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StepError(f"There are no measured times in {MEASURED.name}: {error}\nmake load measures them.") from error
    PAGE.write_text(markdown(Model(measured)), encoding="utf-8")
    console.print(f"Written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    main_guard(main)
