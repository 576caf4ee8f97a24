"""The house: what imports what, what is public, and that the committed stub tells the truth."""

import ast
import subprocess
import sys
from pathlib import Path

import softgrad

PACKAGE = Path(softgrad.__file__).parent
SOURCE = Path(__file__).parent.parent / "src" / "softgrad"

# Imports point down this list only.
LEVELS = [
    {"cli"},
    {"linear_model", "derivation", "checking", "torch", "jax"},
    {"_softmax", "_cross_entropy", "_linear_cross_entropy", "_hvp", "_linear_operators", "_threads"},
    {"_closed_forms"},
    {"_targets"},
    {"_arrays", "_loss_spec"},
    {"_validation", "_whole_file", "_pages"},
    {"_core"},
]
# Built on another module of their own level.
WITHIN_A_LEVEL = {
    ("_linear_cross_entropy", "_cross_entropy"),
    ("_hvp", "_cross_entropy"),
    ("_hvp", "_linear_cross_entropy"),
    ("_linear_operators", "_softmax"),
    ("_linear_operators", "_cross_entropy"),
}
# Who may import what is neither Python's own nor NumPy.
OWNERS = {
    "torch": {"torch"},
    "array_api_compat": {"_arrays"},
    "jax": {"jax"},
    "sklearn": {"linear_model", "cli"},
    "scipy": {"linear_model", "cli", "_linear_operators"},
    "jinja2": {"_pages"},
    "sympy": {"derivation"},
    "mpmath": {"derivation"},
    "threadpoolctl": {"linear_model"},
    "safetensors": {"linear_model", "cli"},
    "onnx": {"linear_model"},
    "matplotlib": {"cli"},
    "pandas": {"cli"},
    "pyarrow": {"cli"},
    "rich": {"cli"},
    "typer": {"cli"},
}


def modules():
    paths = sorted(SOURCE.rglob("*.py"))
    assert len(paths) > 50
    for path in paths:
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield parts[0], ast.parse(path.read_text())


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import, whose package this does not see"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def level(name):
    return next((i for i, names in enumerate(LEVELS) if name in names), None)


def test_imports_point_one_way():
    for owner, tree in modules():
        if owner == "__init__":
            continue
        assert level(owner) is not None, f"{owner} has no place in LEVELS"
        for name in imported(tree):
            parts = name.split(".")
            target = parts[1] if parts[0] == "softgrad" and len(parts) > 1 else None
            if target is None or target == owner or level(target) is None:
                continue
            assert level(owner) < level(target) or (owner, target) in WITHIN_A_LEVEL, f"{owner} imports {target}"


def test_optional_packages_are_imported_by_their_owners_only():
    for owner, tree in modules():
        for name in imported(tree):
            package = name.split(".")[0]
            if package not in {*sys.stdlib_module_names, "softgrad", "numpy"}:
                assert owner in OWNERS.get(package, ()), f"{owner} imports {package}"


def test_import_brings_in_nothing_but_numpy():
    code = (
        "import sys, numpy; before = set(sys.modules); import softgrad;"
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    third_party = set(run.stdout.split()) - set(sys.stdlib_module_names) - {"softgrad", "numpy"}
    # An editable install adds its own import hook.
    assert not {name for name in third_party if "editable" not in name and "nanobind" not in name}


def test_public_names():
    assert sorted(softgrad.__all__) == softgrad.__all__
    for name in softgrad.__all__:
        assert getattr(softgrad, name).__doc__
    public = {n for n in vars(softgrad) if not n.startswith("_")}
    submodules = {n for names in LEVELS[:2] for n in names}
    assert public - submodules == set(softgrad.__all__)


def test_stub_of_the_compiled_module_is_current():
    from nanobind.stubgen import StubGen  # noqa: PLC0415

    from softgrad import _core  # noqa: PLC0415

    generator = StubGen(_core)
    generator.put(_core)
    assert (SOURCE / "_core.pyi").read_text() == generator.get()
