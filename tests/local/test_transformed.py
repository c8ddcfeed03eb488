"""What CloudFormation would refuse is refused by `make check`: faults put back, and each of them found."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE, MACHINE = "template.yaml", "statemachines/rebuild.asl.yaml"
FAULTS = [
    (
        MACHINE,
        "ResultPath: $.done\n",
        "ResultPath: null\n",
        "Definition.States.Work.ResultPath is null",
    ),
    (MACHINE, "    Type: Wait\n", "    Type: Waitt\n", "'Waitt' is not one of"),
    (
        TEMPLATE,
        "AttributeName: version, AttributeType: N",
        "AttributeName: version, AttributeType: X",
        "'X' is not one of",
    ),
    (TEMPLATE, "Action: dynamodb:BatchGetItem\n", "Action: dynamodb:BatchGetItems\n", "'batchgetitems' is not one of"),
]


def test_faults_are_found_once_sam_has_transformed_the_template(tmp_path: Path) -> None:
    (tmp_path / "statemachines").mkdir()
    for name in (TEMPLATE, MACHINE):
        text = (ROOT / name).read_text()
        for _, old, new, _ in (fault for fault in FAULTS if fault[0] == name):
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / name).write_text(text)
    program = [str(ROOT / ".tools/sam/bin/python"), str(ROOT / "local/transformed.py"), str(tmp_path), "eu-west-1"]
    done = subprocess.run(program, check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 1, done.stdout + done.stderr
    for _, _, _, found in FAULTS:
        assert found in done.stdout
