"""The studies that come with the package, found by their files, without importing them."""

import ast
from functools import cache
from pathlib import Path

__all__ = ["named_studies", "study_module"]

FOLDER = Path(__file__).parent


def named_studies() -> dict[str, str]:
    """Name and first line of each study.

    A file or folder here that holds a function of its own name for one; in a folder also a file whose function is
    called after both: `simlap_transfer` in `simlap/transfer.py`.
    """
    return {name.replace("_", "-"): said for name, (_, said) in _found().items()}


def study_module(name: str) -> str:
    """Where the function of a study is, as `counterpoint.studies.simlap.transfer`.

    Args:
        name: of `named_studies`.
    """
    return _found()[name.replace("-", "_")][0]


@cache
def _found() -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for path in sorted([*FOLDER.glob("*.py"), *FOLDER.glob("*/*.py")]):
        within = path.relative_to(FOLDER).with_suffix("").parts
        parts = within[:-1] if within[-1] == "__init__" else within
        if not parts:
            continue
        name = "_".join(parts)
        text = path.read_text(encoding="utf-8")
        if name not in text:  # most files; parsing takes long
            continue
        tree = ast.parse(text)
        if any(_makes(node, name) for node in tree.body):
            said = (ast.get_docstring(tree) or "").partition("\n")[0]
            found[name] = ".".join(("counterpoint.studies", *parts)), said.rstrip(".")
    return dict(sorted(found.items()))


def _makes(node: ast.stmt, name: str) -> bool:
    """Whether a statement defines, or brings into a package, the study of that name."""
    if isinstance(node, ast.FunctionDef):
        return node.name == name and node.returns is not None and ast.unparse(node.returns) == "Study"
    return isinstance(node, ast.ImportFrom) and any((a.asname or a.name) == name for a in node.names)
