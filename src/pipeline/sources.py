"""Which of the project's source files a program runs, so that rules can declare them as inputs, and what they do."""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent


@cache
def files(*modules: str) -> tuple[Path, ...]:
    """Return the source files of modules and of every project module that they import, directly or not, sorted.

    Imports inside functions count, too. A family that is found by its name at run time does not: name it here.
    """
    found: set[Path] = set()
    waiting = list(modules)
    while waiting:
        for path in _with_packages(waiting.pop()):
            if path not in found:
                found.add(path)
                waiting += imports(path)
    return tuple(sorted(found))


@cache
def _with_packages(module: str) -> list[Path]:
    """Return a module's file and its packages' `__init__.py` files, which importing it runs."""
    package = module.rpartition(".")[0]
    base = SOURCE.joinpath(*module.split("."))
    own = [path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()]
    return [*(_with_packages(package) if package else []), *own]


@cache
def imports(path: Path) -> list[str]:
    """Return the project's modules that a source file names in import statements."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from package import name` may name a module or something inside one; what is no file is dropped later.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] == "pipeline"]


def meaning(path: Path) -> str:
    """Return a hash of what a source file does: comments, docstrings and layout change no result, and do not count."""
    return _meaning(path.read_bytes())


@cache
def _meaning(source: bytes) -> str:
    return hashlib.sha256(json.dumps(_told(ast.parse(source))).encode()).hexdigest()


def _told(node: object) -> object:
    """Return a syntax tree as lists, without what is empty: versions of Python differ in what of that they tell."""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
        return [type(node).__name__, *((name, _told(value)) for name, value in fields)]
    if isinstance(node, list):
        return [_told(each) for each in node if not _is_docstring(each)]
    return repr(node)


def _is_docstring(node: object) -> bool:
    """Tell whether this is a text that stands alone: at the head of something, or below a name that it explains."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
