"""The packages' direction: muscaps knows neither Ray nor S3, nothing imports jobs, infra holds no code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BANNED = {
    "muscaps": {"ray", "boto3", "botocore", "smart_open", "pipeline", "jobs", "typer"},
    "pipeline": {"jobs", "typer"},
}


def imported(path):
    """Top-level names of every module a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", sorted(BANNED))
def test_a_package_imports_nothing_above_it(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    breaches = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in sorted(set(imported(path)) & BANNED[package])
    ]
    assert breaches == []


def test_stages_do_not_know_ray():
    files = sorted((ROOT / "pipeline" / "captioning" / "stages").glob("*.py"))
    assert files
    assert [path.name for path in files if "ray" in set(imported(path))] == []


def test_infra_holds_no_code():
    assert list((ROOT / "infra").rglob("*.py")) == []


def test_the_command_line_imports_neither_torch_nor_ray():
    code = (
        "import sys, jobs.cli; "
        "heavy = {'torch', 'ray', 'pandas', 'pyarrow', 'numpy', 'boto3'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
