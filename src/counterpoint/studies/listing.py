"""The studies that come with the package, found by their files, without importing them."""

import ast
from pathlib import Path

__all__ = ["named_studies"]

FOLDER = Path(__file__).parent


def named_studies() -> dict[str, str]:
    """Name and first line of each study: a file or folder here that holds a function of its own name for one."""
    found: dict[str, str] = {}
    for path in sorted([*FOLDER.glob("*.py"), *FOLDER.glob("*/__init__.py")]):
        name = path.parent.name if path.stem == "__init__" else path.stem
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.parent.name != "__pycache__" and any(_makes(node, name) for node in tree.body):
            said = (ast.get_docstring(tree) or "").partition("\n")[0]
            found[name.replace("_", "-")] = said.rstrip(".")
    return found


def _makes(node: ast.stmt, name: str) -> bool:
    """Whether a statement defines, or brings into a package, the study of that name."""
    if isinstance(node, ast.FunctionDef):
        return node.name == name and node.returns is not None and ast.unparse(node.returns) == "Study"
    return isinstance(node, ast.ImportFrom) and any((a.asname or a.name) == name for a in node.names)
