"""What CloudFormation would refuse is refused by `make check`: each fault put back, and found."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE, MACHINE = "template.yaml", "statemachines/rebuild.asl.yaml"


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        (MACHINE, "ResultPath: $.released\n    Catch", "ResultPath: null\n    Catch", "null"),
        (MACHINE, "    Type: Wait\n", "    Type: Waitt\n", "Waitt"),
        (TEMPLATE, "AttributeName: version, AttributeType: N", "AttributeName: version, AttributeType: X", "X"),
        (TEMPLATE, "Action: dynamodb:BatchGetItem", "Action: dynamodb:BatchGetItems", "batchgetitems"),
    ],
)
def test_a_fault_is_found_once_sam_has_transformed_the_template(
    tmp_path: Path, file: str, old: str, new: str, found: str
) -> None:
    (tmp_path / "statemachines").mkdir()
    for name in (TEMPLATE, MACHINE):
        text = (ROOT / name).read_text()
        assert name != file or text.count(old) >= 1
        (tmp_path / name).write_text(text.replace(old, new, 1) if name == file else text)
    program = [str(ROOT / ".tools/sam/bin/python"), str(ROOT / "local/transformed.py"), str(tmp_path), "eu-west-1"]
    done = subprocess.run(program, check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 1, done.stdout + done.stderr
    assert found in done.stdout
