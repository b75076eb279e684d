"""Write the reference of every key of a configuration, from the typed specs that read it. Run as `make reference`.

Types, limits and defaults are those of the pydantic models; what a key means stands below it in the source, or in the
"Attributes:" section of its class, with its unit in brackets at the end. Nothing is written twice.
"""

import argparse
import ast
import importlib
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from pipeline import families
from pipeline.spec import Spec
from pipeline.study import Entries

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "reference.md"
HEADER = """# Every key

Written by `make reference` from the classes that read a configuration; a test keeps this page in step with them. What
to choose, and why, stands in [configuration.md](configuration.md).

A key without a default must be said. A unit of 1 is a plain number: a share, a ratio, a weight. `null` is "not said".
"""
KINDS: tuple[families.Kind, ...] = get_args(families.Kind)
TITLES = {"datasets": "Data set"}
"""Titles of kinds of entries that are not their names."""
UNIT = re.compile(r"\s*\[(?P<unit>[^\[\]]+)\]$")
PLAIN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@dataclass(frozen=True)
class Key:
    """One key of the configuration, as it stands in a table.

    Attributes:
        name: with the keys that it is below, joined by dots.
        type: in words, with its limits.
        unit: empty for what is no number.
        default: as it would be written; empty where the key must be said.
        meaning: empty where nobody has described it.
    """

    name: str
    type: str
    unit: str
    default: str
    meaning: str

    def row(self) -> str:
        """Return the key as a row of a Markdown table."""
        default = f"`{self.default}`" if self.default else ""
        cells = (f"`{self.name}`", self.type, self.unit, default, self.meaning.replace("|", "\\|"))
        return f"| {' | '.join(cells)} |"


def keys(model: type[Spec], prefix: str = "") -> Iterator[Key]:
    """Yield every key that a class reads, each followed by those below it; `family` is left out."""
    said = meanings(model)
    for name, field in model.model_fields.items():
        if name == "family":
            continue
        text = said.get(name, "")
        unit = UNIT.search(text)
        yield Key(prefix + name, type_of(field), unit["unit"] if unit else "", default_of(field), UNIT.sub("", text))
        for part in _parts(field):
            yield from _below(part, f"{prefix}{name}.")


def _below(part: type[Spec], prefix: str) -> Iterator[Key]:
    """Yield the keys of an entry below a key; one of several kinds of entry says which of them its keys are for."""
    kind = part.model_fields.get("kind")
    for key in keys(part, prefix):
        if kind is None:
            yield key
        elif key.name == f"{prefix}kind":
            yield Key(key.name, key.type, "", "", first_sentence(part.__doc__ or ""))
        else:
            yield Key(key.name, key.type, key.unit, key.default, f"Of `{get_args(kind.annotation)[0]}`: {key.meaning}")


def _parts(field: FieldInfo) -> list[type[Spec]]:
    """Return the classes of what stands below a key, apart from entries with families of their own."""
    found = dict.fromkeys(_classes(field.annotation))
    return [model for model in found if "family" not in model.model_fields]


def _classes(annotation: object) -> Iterator[type[Spec]]:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes(argument)


def default_of(field: FieldInfo) -> str:
    """Return a key's default as it would be written in one line; empty where there is none."""
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Spec):
        return "{}"
    return value if isinstance(value, str) and value else json.dumps(value)


def type_of(field: FieldInfo) -> str:
    """Return what may be written, in words."""
    if any("family" in model.model_fields for model in _classes(field.annotation)):
        return "an entry of one of " + _listed(_families(field.annotation))
    if _parts(field):
        return "keys"
    annotation: Any = field.annotation
    for limit in field.metadata:
        annotation = _limited(annotation, limit)
    return _words(TypeAdapter(annotation).json_schema(mode="validation"))


def _limited(annotation: Any, limit: object) -> Any:  # noqa: ANN401 - a type, or what typing makes of one
    return Annotated[annotation, limit]


def _families(annotation: object) -> list[str]:
    return [get_args(model.model_fields["family"].annotation)[0] for model in _classes(annotation)]


def _words(schema: dict[str, Any]) -> str:
    """Return a JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_words(part) for part in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return _listed(list(map(str, schema.get("enum", [schema.get("const")]))))
    match schema.get("type"):
        case "null":
            return "`null`"
        case "array" if "prefixItems" in schema:
            return f"list of {len(schema['prefixItems'])}: {_words(schema['prefixItems'][0])}"
        case "array":
            return f"list of {_words(schema['items'])}" if schema.get("items") else "list"
        case "object":
            inner = schema.get("additionalProperties")
            return f"names, each with {_words(inner)}" if isinstance(inner, dict) and inner else "keys"
        case str(plain):
            return " ".join([PLAIN[plain], " and ".join(_limits(schema))]).strip()
    return "anything"


def _limits(schema: dict[str, Any]) -> Iterator[str]:
    for name, sign in LIMITS.items():
        if name in schema:
            yield f"{sign} {schema[name]:g}"


def _listed(values: list[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


@cache
def meanings(model: type[Spec]) -> dict[str, str]:
    """Return what each key of a class means, by the class nearest to it that says so."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, Spec) and base is not Spec:
            found |= _own(base)
    return found


def _own(model: type[Spec]) -> dict[str, str]:
    """Return what a class itself says of its keys: in the text below each, or in its "Attributes:" section."""
    source = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = next(node for node in source.body if isinstance(node, ast.ClassDef))
    found = attributes(ast.get_docstring(body) or "")
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(ast.Constant(str(text))):
                    found[field.target.id] = _joined(text)
    return found


def attributes(docstring: str) -> dict[str, str]:
    """Return the "Attributes:" section of a docstring by name."""
    section = docstring.partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = re.split(r"^ {4}(?=\S)", section, flags=re.MULTILINE)
    pairs = (entry.split(":", 1) for entry in entries if ":" in entry)
    return {name.strip(): _joined(text) for name, text in pairs}


def first_sentence(docstring: str) -> str:
    """Return the first sentence of a docstring."""
    return re.split(r"(?<=\.)\s", _joined(docstring))[0]


def _joined(text: str) -> str:
    return " ".join(text.split())


def base(model: type[Spec]) -> type[Spec]:
    """Return the class that all families of a kind extend."""
    return next(parent for parent in reversed(model.__mro__) if issubclass(parent, Spec) and parent is not Spec)


def table(rows: list[Key]) -> str:
    """Return keys as a Markdown table."""
    head = ["| key | type | unit | default | meaning |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(key.row() for key in rows)])


def title(kind: families.Kind) -> str:
    """Return what an entry of a kind is called."""
    return TITLES.get(kind, kind.removesuffix("s").capitalize())


def of_kind(kind: families.Kind) -> Iterator[str]:
    """Yield the part of one kind of entries: what all families read, and then what each adds or changes."""
    page = DOCUMENT.with_name(f"{kind}.md")
    introduction = f"By name, below `{kind}`" + (f"; see [{page.name}]({page.name})." if page.is_file() else ".")
    modules = {name: importlib.import_module(families.module_name(kind, name)) for name in families.names(kind)}
    common = list(keys(base(next(iter(modules.values())).Spec)))
    family = Key("family", _listed(list(modules)), "", "", "Which of the kinds below it is.")
    yield f"## {title(kind)}s\n\n{introduction}\n\n{table([family, *common])}"
    for name, module in modules.items():
        added = [key for key in keys(module.Spec) if key not in common]
        rows = table(added) if added else "No further keys."
        yield f"### {title(kind)} `{name}`\n\n{first_sentence(module.__doc__ or '')}\n\n{rows}"


def document() -> str:
    """Return the whole page."""
    parts = [HEADER.rstrip(), f"## The study\n\n{table(list(keys(Entries)))}"]
    return "\n\n".join([*parts, *(part for kind in KINDS for part in of_kind(kind))]) + "\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    parser.parse_args().output.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
