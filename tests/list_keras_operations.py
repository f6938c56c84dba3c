"""Write tests/keras_operations.txt: the operations in Keras's source, one a line.

`KERAS_SOURCE=keras-3.15.1 python tests/list_keras_operations.py`; a line is: module, class, what it is called with,
what it is made with, and the function of ``keras.ops`` that it is, with its arguments.
"""

import ast
import os
from pathlib import Path

ROOT = Path(os.environ.get("KERAS_SOURCE", "keras-3.15.1")) / "keras" / "src" / "ops"
HEAD = "# The operations of Keras 3.15.1: module, class | what it is called with | made with | function(arguments)"


def operations(path):
    """The lines of one module."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    for name, node in classes.items():
        if is_operation(node, classes):
            of_class = [f for f in functions if name in called_by(f)]
            function = min(of_class, key=lambda f: f.name.replace("_", "") != name.lower()) if of_class else None
            given = "" if function is None else f"{function.name}({arguments(function, 0)})"
            taken, made = (arguments(method(node, classes, kind), 1) for kind in ("call", "__init__"))
            yield f"{path.stem} {name} | {taken} | {made} | {given}"


def is_operation(node, classes):
    """Whether a class is derived from Operation."""
    bases = [ast.unparse(base) for base in node.bases]
    return any(
        base.endswith("Operation") or (base in classes and is_operation(classes[base], classes)) for base in bases
    )


def called_by(function):
    """The names that a function calls."""
    return {ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}


def method(node, classes, name):
    """A method, or that of a base."""
    found = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == name]
    bases = [classes[ast.unparse(base)] for base in node.bases if ast.unparse(base) in classes]
    return found[0] if found else next((method(base, classes, name) for base in bases), None)


def arguments(function, first):
    """The arguments by place, from the first on, as the source has them."""
    if function is None:
        return ""
    names = [part.arg for part in function.args.args]
    defaults = [""] * (len(names) - len(function.args.defaults))
    defaults += [f"={ast.unparse(value)}" for value in function.args.defaults]
    listed = [name + default for name, default in zip(names, defaults, strict=True)][first:]
    return ", ".join(listed + ([f"*{function.args.vararg.arg}"] if function.args.vararg else []))


if __name__ == "__main__":
    paths = sorted(path for path in ROOT.glob("*.py") if not path.stem.endswith("_test"))
    lines = [line for path in paths for line in operations(path)]
    (Path(__file__).parent / "keras_operations.txt").write_text("\n".join([HEAD, *lines, ""]), encoding="utf-8")
