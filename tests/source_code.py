"""Measures of source text: lines of code, functions, and what a module imports."""

import ast
import io
import tokenize
from bisect import bisect_left, bisect_right

_NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)
_WITH_DOCSTRING = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(path):
    """How many lines of a Python file are code: neither blank, nor a comment, nor in a docstring."""
    return len(code_line_numbers(path.read_text(encoding="utf-8")))


def code_line_numbers(text):
    """The numbers, from 1, of the lines of code in a Python text."""
    return _code_line_numbers(text, ast.parse(text))


def _code_line_numbers(text, tree):
    numbers = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            numbers.update(range(token.start[0], token.end[0] + 1))
    for node in _without_expressions(tree):
        if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            numbers.difference_update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return numbers


def functions(text):
    """(dotted name in its module, lines of code, number of parameters without self) of every function of a text."""
    tree = ast.parse(text)
    numbers = sorted(_code_line_numbers(text, tree))
    for name, node in _functions(tree, ""):
        length = bisect_right(numbers, node.end_lineno) - bisect_left(numbers, node.lineno)
        names = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        names = [name for name in names if name.arg not in ("self", "cls")]
        yield name, length, len(names) + (node.args.vararg is not None) + (node.args.kwarg is not None)


def _functions(node, prefix):
    for child in _children(node):
        name = f"{prefix}{getattr(child, 'name', '')}"
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        is_named = isinstance(child, _WITH_DOCSTRING)
        yield from _functions(child, f"{name}." if is_named else prefix)


def _children(node):
    """The nodes right under a node but for expressions, which hold no statement and are most of a tree."""
    return [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]


def _without_expressions(node):
    yield node
    for child in _children(node):
        yield from _without_expressions(child)


class Sources:
    """The modules of a package and what they import.

    Parameters
    ----------
    folder : Path
        The package.

    Attributes
    ----------
    trees, paths : dict
        Module name → syntax tree, → file.
    """

    def __init__(self, folder):
        self.trees, self.paths, self._imports = {}, {}, {}
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            self.trees[name], self.paths[name] = ast.parse(path.read_text(encoding="utf-8")), path

    def imports(self, module):
        """All modules that a module imports, anywhere in its text; `from a import b` is a.b where that is a module.

        Not those that only type checkers import.
        """
        if module not in self._imports:  # a walk through its tree: many tests ask
            self._imports[module] = tuple(self._find_imports(module))
        return self._imports[module]

    def _find_imports(self, module):
        for node in _without_types(self.trees[module]):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: write imports in full"
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    yield name if name in self.trees else node.module

    def inner_imports(self, module):
        """Those of its imports that are modules of the package, without itself."""
        return {name for name in self.imports(module) if name in self.trees and name != module}

    def cycle(self):
        """Modules that import each other in a ring, as a list; empty if there are none."""
        free, imports = set(), {module: self.inner_imports(module) for module in self.trees}
        while found := [m for m in self.trees if m not in free and imports[m] <= free]:
            free.update(found)
        return sorted(set(self.trees) - free)


def _without_types(node):
    """The nodes of a tree but for expressions, and for what stands under ``if TYPE_CHECKING:``."""
    if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
        for child in node.orelse:
            yield from _without_types(child)
        return
    yield node
    for child in _children(node):
        yield from _without_types(child)
