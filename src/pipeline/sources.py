"""Which of the project's source files a program runs, so that rules can declare them as inputs."""

import ast
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
