"""Rules of the code base: direction of imports, no cycles, Ray's private names, file sizes, words.

Conventions: imports inside functions count like those at the top of a file; only `if TYPE_CHECKING:` does not.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("muscaps", "pipeline", "jobs")
BANNED = {
    "muscaps": {"ray", "boto3", "botocore", "smart_open", "pipeline", "jobs", "typer"},
    "pipeline": {"jobs", "typer"},
}
MAX_LINES = 400
DATA_TABLES = "muscaps/corpus/"
"""Folder whose files may be longer: they are mostly tables."""
RAY_INTERNALS = ROOT / "pipeline" / "cluster" / "ray_internals.py"
RAY_PRIVATE = re.compile(r"ray\._\w+|_current_executor|internal_kv|\b_private\b")
FORBIDDEN = (
    "ears", "hear", "hears", "heard", "takedown", "careful round", "chair", "told apart", "buried", "beyond us",
    "hence", "unasked", "nothing but", "lends itself", "likes it", "keeps the books", "ray's books",
)  # fmt: skip
"""Words that the glossary replaces."""
TEXT_SUFFIXES = {".py", ".md", ".yaml", ".toml", ".js", ".html", ".css", ".cff", ""}
EXEMPT = ("docs/glossary.md", "tests/unit/test_architecture.py", "LICENSE", "jobs/demo_tracks/LICENCES.md")


@cache
def sources() -> tuple[Path, ...]:
    """Every Python file of the three packages."""
    return tuple(sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")))


def module_name(path: Path) -> str:
    """`pipeline/output/lease.py` -> `pipeline.output.lease`; a package is its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_statements(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import of a file, except those for type checkers."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        else:
            pending += ast.iter_child_nodes(node)


def imported_modules(path: Path) -> set[str]:
    """Full names of imported modules; for `from a import b` both `a` and `a.b`."""
    names = set()
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif node.level == 0 and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("package", sorted(BANNED))
def test_a_package_imports_nothing_above_it(package: str) -> None:
    breaches = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        if path.is_relative_to(ROOT / package)
        for name in sorted({name.partition(".")[0] for name in imported_modules(path)} & BANNED[package])
    ]
    assert breaches == []


def import_graph() -> dict[str, set[str]]:
    """Module -> modules of ours that it imports, the more specific one where both names are modules."""
    modules = {module_name(path): path for path in sources()}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        ours = {target for target in imported_modules(path) if target in modules and target != name}
        # `from a.b import c` with a module c imports c; a.b is then only the package that holds it.
        graph[name] = {target for target in ours if not any(other.startswith(target + ".") for other in ours)}
    return graph


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """One import cycle, as the modules along it; empty if there is none."""
    finished: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in finished:
            return []
        for target in sorted(graph[module]):
            if cycle := visit(target, [*path, module]):
                return cycle
        finished.add(module)
        return []

    return next((cycle for module in sorted(graph) if (cycle := visit(module, []))), [])


def test_there_are_no_import_cycles() -> None:
    assert find_cycle(import_graph()) == []


def test_a_cycle_is_found() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()}) == ["a", "b", "c", "a"]


def test_stages_do_not_import_ray() -> None:
    stages = [path for path in sources() if "pipeline.captioning.stages" in module_name(path)]
    assert stages
    assert [path for path in stages if any(name.split(".")[0] == "ray" for name in imported_modules(path))] == []


def test_private_names_of_ray_are_in_one_file() -> None:
    uses = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in sources()
        if path != RAY_INTERNALS
        for match in RAY_PRIVATE.finditer(path.read_text(encoding="utf-8"))
    ]
    assert uses == []


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in sources()}
    long = {name: lines for name, lines in lengths.items() if lines > MAX_LINES and not name.startswith(DATA_TABLES)}
    assert long == {}


def tracked_texts() -> list[Path]:
    """Text files that git tracks; all files without git."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False)
    names = listed.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in sources()]
    texts = [ROOT / name for name in names if Path(name).suffix in TEXT_SUFFIXES and name not in EXEMPT]
    return [path for path in texts if path.is_file()]


def test_texts_use_the_glossarys_terms() -> None:
    pattern = re.compile(rf"\b({'|'.join(FORBIDDEN)})\b", re.IGNORECASE)
    found = []
    for path in tracked_texts():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match.group()}")
    assert found == []


def test_infra_holds_no_code() -> None:
    assert list((ROOT / "infra").rglob("*.py")) == []


def test_the_command_line_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys, jobs.cli; "
        "heavy = {'torch', 'ray', 'pandas', 'pyarrow', 'numpy', 'boto3', 'duckdb'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
