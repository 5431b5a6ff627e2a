"""What a notebook declares, read from its file; and its first cells, run as a kernel runs them."""

import ast
import json
from dataclasses import dataclass
from pathlib import Path

Value = int | float | str | bool


@dataclass(frozen=True)
class Declared:
    """A line of a parameters cell."""

    name: str
    type: str
    default: Value


def cells_of(notebook: Path) -> list[dict]:
    """The cells of a notebook."""
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def declared_in(notebook: Path) -> list[Declared]:
    """The parameters of a notebook, in its order."""
    (cell,) = [c for c in cells_of(notebook) if "parameters" in c["metadata"].get("tags", ())]
    return [
        Declared(node.target.id, node.annotation.id, ast.literal_eval(node.value))
        for node in ast.parse("".join(cell["source"])).body
    ]


def first_cells(notebook: Path, output: Path, *, then: str) -> Path:
    """A copy of a notebook that ends after its check of the parameters, with a cell of ours."""
    whole = json.loads(notebook.read_text(encoding="utf-8"))
    code = [n for n, cell in enumerate(whole["cells"]) if cell["cell_type"] == "code"]
    last = whole["cells"][code[1]]  # parameters, then their check
    whole["cells"] = [
        *whole["cells"][: code[1] + 1],
        {**last, "id": "ours", "source": then, "metadata": {}},
    ]
    output.write_text(json.dumps(whole), encoding="utf-8")
    return output


# Runs in a Python of the copied project: for each trial the first two cells of code of a notebook,
# with values put in between as papermill does; prints what became of them as JSON.
DRIVER = """
import contextlib, io, json, sys

results = []
for notebook, values in json.load(sys.stdin):
    cells = json.load(open(notebook, encoding="utf-8"))["cells"]
    first, second = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"][:2]
    scope = {}
    exec(first, scope)
    names = [name for name in scope["__annotations__"]]
    scope.update(values)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(second, scope)
        results.append({"values": {name: scope[name] for name in names}})
    except Exception as error:
        results.append({"kind": type(error).__name__, "error": str(error)})
print(json.dumps(results))
"""
