"""The classes that a recipe is made of with default dials, read from its syntax tree without running it."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Literal", "Plain", "composition"]

Plain = bool | int | float | str
Literal = Plain | tuple[Plain, ...] | None


def composition(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """The classes that the one `return Recipe(...)` of a recipe takes with default dials, by the name of its argument.

    A class with others in it is told with them: `Branches(Bank)`.
    """
    made = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Return)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "Recipe"
    ]
    if len(made) == 1:
        defaults = _Defaults.of(function)
        for argument in made[0].keywords:
            if argument.arg is not None:
                yield argument.arg, defaults.kind(argument.value)


@dataclass(frozen=True)
class _Defaults:
    """What is known of the names in a recipe where every dial has its default.

    Args:
        values: of dials, and of what follows from them, but for names that the function gives more than one value.
        local: the expressions of other names.
    """

    values: Mapping[str, Literal]
    local: Mapping[str, ast.expr]

    @classmethod
    def of(cls, function: ast.FunctionDef) -> "_Defaults":
        given = [
            (target.id, node.value)
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        names = [*(name for name, _ in given), *(a.arg for a in (*function.args.args, *function.args.kwonlyargs))]
        pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        values = {a.arg: ast.literal_eval(d) for a, d in pairs if d is not None and names.count(a.arg) == 1}
        local: dict[str, ast.expr] = {}
        for name, node in given:
            if names.count(name) == 1:
                found = cls(values, {}).value(node)
                if found is None:
                    local[name] = node
                else:
                    (values[name],) = found
        return cls(values, local)

    def kind(self, node: ast.expr) -> str:
        """The class that an expression calls; both where the dials do not decide; nothing for a plain value."""
        if isinstance(node, ast.Name) and node.id in self.local:
            return self.kind(self.local[node.id])
        if isinstance(node, ast.IfExp):
            found = self.value(node.test)
            either = (node.body, node.orelse) if found is None else (node.body if found[0] else node.orelse,)
            return " or ".join(filter(None, dict.fromkeys(map(self.kind, either))))
        if not isinstance(node, ast.Call):
            return ""
        name = ast.unparse(node.func).rpartition(".")[2]
        inner = ", ".join(filter(None, map(self.kind, (*node.args, *(k.value for k in node.keywords)))))
        if not name[:1].isupper():
            return ""
        return f"{name}({inner})" if inner else name

    def value(self, node: ast.expr) -> tuple[Literal] | None:
        """What a comparison of dials and literals says, in a tuple; None where it asks for more than these."""
        plain = ast.Name | ast.Constant | ast.Tuple | ast.Compare | ast.BoolOp | ast.UnaryOp
        plain |= ast.expr_context | ast.cmpop | ast.boolop | ast.unaryop
        for inner in ast.walk(node):
            if not isinstance(inner, plain) or (isinstance(inner, ast.Name) and inner.id not in self.values):
                return None
        # Nothing is called and no attribute is read.
        try:
            return (eval(compile(ast.Expression(node), "", "eval"), {"__builtins__": {}}, dict(self.values)),)
        except TypeError:  # none < 3
            return None
