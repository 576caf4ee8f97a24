"""The structure of the package: imports, public names, and the committed stub."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import softgrad

PACKAGE = Path(softgrad.__file__).parent
SOURCE = Path(__file__).parent.parent / "src" / "softgrad"

# Imports point down this list only.
LEVELS = [
    {"cli"},
    {"dask", "explorer"},
    {"linear_model", "derivation", "checking", "torch", "jax"},
    {"_softmax", "_cross_entropy", "_linear_cross_entropy", "_hvp", "_linear_operators", "_threads"},
    {"_closed_forms"},
    {"_targets"},
    {"_arrays", "_loss_spec"},
    {"_validation", "_atomic_write", "_calibration", "_cpu_quota", "_pages"},
    {"_core", "_typing"},
]
# Imports of another module of the same level.
WITHIN_A_LEVEL = {
    ("_linear_cross_entropy", "_cross_entropy"),
    ("_hvp", "_cross_entropy"),
    ("_hvp", "_linear_cross_entropy"),
    ("_linear_operators", "_softmax"),
    ("_linear_operators", "_cross_entropy"),
}
# The packages beside the standard library and NumPy, and the modules that may import them.
OWNERS = {
    "torch": {"torch"},
    "triton": {"torch"},
    "array_api_compat": {"_arrays", "torch", "jax"},
    "jax": {"_arrays", "jax"},
    "sklearn": {"linear_model", "dask", "cli"},
    "scipy": {"linear_model", "dask", "cli", "_linear_operators"},
    "dask": {"dask"},
    "distributed": {"dask"},
    "jinja2": {"_pages"},
    "sympy": {"derivation"},
    "mpmath": {"derivation"},
    "threadpoolctl": {"linear_model"},
    "safetensors": {"linear_model", "cli"},
    "onnx": {"linear_model"},
    "matplotlib": {"linear_model", "cli"},
    "pandas": {"linear_model", "cli"},
    "pyarrow": {"cli"},
    "rich": {"cli"},
    "typer": {"cli"},
    "softgrad_command": {"__main__"},
}


def modules():
    """The parts of the name below softgrad, and the syntax tree, of every module; a package is its __init__."""
    paths = sorted(SOURCE.rglob("*.py"))
    assert len(paths) > 50
    for path in paths:
        yield path.relative_to(SOURCE).with_suffix("").parts, ast.parse(path.read_text())


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
    for (owner, *_), tree in modules():
        if owner in {"__init__", "__main__"}:
            continue
        assert level(owner) is not None, f"{owner} has no place in LEVELS"
        for name in imported(tree):
            parts = name.split(".")
            target = parts[1] if parts[0] == "softgrad" and len(parts) > 1 else None
            if target is None or target == owner or level(target) is None:
                continue
            assert level(owner) < level(target) or (owner, target) in WITHIN_A_LEVEL, f"{owner} imports {target}"


def test_no_modules_import_each_other_in_a_circle():
    """Imports within functions and under TYPE_CHECKING count; those of the packages around a module do not."""
    trees = {".".join(("softgrad", *parts)).removesuffix(".__init__"): tree for parts, tree in modules()}
    known = {*trees, "softgrad._core"}  # compiled
    graph = {}
    for module, tree in trees.items():
        # `from package import name` imports a module or takes a name from the package.
        targets = (name if name in known else name.rpartition(".")[0] for name in imported(tree))
        graph[module] = {target for target in targets if target in known and target != module}
    circles = []
    while circle := a_circle(graph):
        circles.append(" → ".join(circle))
        graph[circle[-2]].remove(circle[-1])
    assert not circles, "modules import each other in a circle:\n" + "\n".join(circles)


def a_circle(graph):
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1][::-1]
    return None


def test_optional_packages_are_imported_by_their_owners_only():
    for (owner, *_), tree in modules():
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
    submodules = {n for names in LEVELS[:3] for n in names}
    assert public - submodules == set(softgrad.__all__)


def test_stub_of_the_compiled_module_is_current():
    from nanobind.stubgen import StubGen  # noqa: PLC0415

    from softgrad import _core  # noqa: PLC0415

    generator = StubGen(_core)
    generator.put(_core)
    assert (SOURCE / "_core.pyi").read_text() == generator.get()
