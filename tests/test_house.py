"""The house rules: every module imports, names are public on purpose, the command line answers at once."""

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import counterpoint

PACKAGE = Path(counterpoint.__file__).parent
ROOT = Path(__file__).parents[1]
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for path in FILES]
COMMANDS = sorted(p.stem for p in (PACKAGE / "cli").glob("*.py") if not p.stem.startswith("_"))
HELPS = [["--help"], *([command, "--help"] for command in COMMANDS), ["train", "simclr", "--help"]]
HEAVY = ("torch", "torchvision", "numpy", "PIL", "sklearn", "pyarrow", "openTSNE", "lightning", "lightning_fabric")


def _ordered(names: list[str]) -> list[str]:
    """Constants, then classes, then the rest: the order of ruff's RUF022."""
    return sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports_and_says_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    public = list(getattr(module, "__all__", ()))
    assert public == _ordered(public), f"__all__ of {name} is not sorted"
    assert len(public) == len(set(public))
    for each in public:
        assert hasattr(module, each), f"__all__ of {name} names {each!r}, which it does not have"
    if hasattr(module, "__path__"):
        own = {
            each
            for each, value in vars(module).items()
            if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith(name)
        }
        missing = sorted(each for each in own - set(public) if not each.startswith("_"))
        assert not missing, f"public names of {name} that are not in its __all__: {missing}"


def test_the_public_names_of_the_library() -> None:
    assert set(counterpoint.__all__) <= set(dir(counterpoint))
    for name in counterpoint.__all__:
        assert getattr(counterpoint, name) is not None
    seen = {name for name in dir(counterpoint) if not name.startswith("_")}
    modules = {name.split(".")[1] for name in MODULES if "." in name}
    assert seen - modules <= set(counterpoint.__all__), "a public name is missing from __all__"


def test_version_is_one() -> None:
    from importlib.metadata import version

    assert counterpoint.__version__ == version("counterpoint")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_keeps_the_rules(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module != "__future__", "`from __future__ import annotations` hides shapes from the checker"
    heavy = {"sklearn", "pyarrow", "torchvision", "openTSNE", "PIL", "lightning", "lightning_fabric", "timm", "umap"}
    light = path.is_relative_to(PACKAGE / "cli") or path.stem in ("signature", "errors", "_version")
    for name in _imported_at_top(tree):
        assert name not in heavy, f"{name} is imported at the top of the file; import it where it is used"
        assert not (light and name in HEAVY), f"{name} is imported at the top of a file that the command line reads"


def _imported_at_top(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_what_is_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
    assert counterpoint.__version__ in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize("arguments", HELPS, ids=" ".join)
def test_help_answers_at_once(arguments: list[str]) -> None:
    """Processor time of the process, not time on the clock, so that a busy machine does not decide."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", "from counterpoint.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: counterpoint")
    assert done.stderr == ""
    assert spent < 1.0, f"the help took {spent:.2f} s of processor time"


def test_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {COMMANDS!r}: importlib.import_module('counterpoint.cli.' + name)\n"
        "import counterpoint.signature; counterpoint.signature.recipes()\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_library_is_light() -> None:
    """`import counterpoint` itself waits for torch until a name is used, which is why every help is quick."""
    code = "import sys, counterpoint; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_command_speaks_before_it_imports(tmp_path: Path) -> None:
    """Each command that needs torch prints its first line, then asks for it: here that import fails."""
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    for line in ("train simclr --out x", "evaluate x", "report x", "embed x y", "show simclr", "views digits"):
        done = subprocess.run(
            [sys.executable, "-c", "from counterpoint.cli import main; main()", *line.split()],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        assert done.stderr.startswith(f"counterpoint {counterpoint.__version__} · {line.split()[0]}")
        assert "torch was imported" in done.stderr


def test_documents_point_at_files_that_exist() -> None:
    """Relative links of the README and of docs/."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} points at {target}, which does not exist"
