"""Imports run core <- schemas <- phase1_sound, phase2_music <- flows; models stay in their engines; all is packaged."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from setuptools import find_namespace_packages

from core.engines import EngineTable
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.vision import VISION_ENGINES
from phase2_music.timbre import TIMBRE_ENGINES

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "core": {"core"},
    "schemas": {"core", "schemas"},
    "phase1_sound": {"core", "schemas", "phase1_sound"},
    "phase2_music": {"core", "schemas", "phase2_music"},
    "flows": {"core", "schemas", "phase1_sound", "phase2_music", "flows"},
}
LIGHT_PACKAGES = ("core", "schemas", "phase1_sound", "phase2_music")
HEAVY = {
    *("torch", "torchaudio", "torchvision", "transformers", "diffusers", "accelerate"),
    *("llguidance", "qwen_vl_utils", "pytorch_lightning", "rave"),
}
# The engines and the training that need the extras `models` and `train`: modules, or folders of modules.
HEAVY_MODULES = (
    "phase1_sound.vision.engines.qwen",
    "phase1_sound.effects.engines.audioldm2",
    "phase1_sound.effects.engines.stable_audio",
    "phase1_sound.effects.engines.diffusion",
    "phase2_music.timbre.engines.rave",
    "phase2_music.timbre.train",
)
ENGINE_TARGET = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+):[A-Za-z_]\w*")


def source_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(source: str, package: str = "") -> Iterator[tuple[int, str]]:
    """Line and full name of every module that a source imports, wherever it does, or names for a later import."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            yield node.lineno, ".".join([*above, *([node.module] if node.module else [])])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            target = ENGINE_TARGET.fullmatch(node.value)
            if target:
                yield node.lineno, target[1]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))
            yield from ((node.lineno, str(name)) for name in names)


@cache
def all_imports() -> list[tuple[Path, int, str]]:
    """File, line and imported module of everything in our packages."""
    found = []
    for package in MAY_IMPORT:
        for path in source_files(package):
            holder = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
            for line, module in imports(path.read_text(encoding="utf-8"), holder):
                found.append((path.relative_to(ROOT), line, module))
    return found


def is_heavy(path: Path) -> bool:
    module = module_name(ROOT / path)
    return any(module == heavy or module.startswith(f"{heavy}.") for heavy in HEAVY_MODULES)


def test_the_import_reader_sees_every_kind_of_import() -> None:
    source = (
        "import a.b\ndef f():\n    from c.d import e\n    from ..g import h\n    from . import i\n"
        'TABLE = {"x": "j.k:L"}\nimportlib.import_module("m.n")\nTEXT = "sidecar:scene.json, see o.p: Q"\n'
    )
    assert sorted(imports(source, "top.sub")) == sorted(
        [(1, "a.b"), (3, "c.d"), (4, "top.g"), (5, "top.sub"), (6, "j.k"), (7, "m.n")]
    )


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package: str) -> None:
    assert source_files(package), f"{package} holds no module"
    wrong = [
        f"{path}:{line}: imports {module}"
        for path, line, module in all_imports()
        if path.parts[0] == package
        and (top := module.partition(".")[0]) in {*MAY_IMPORT, "tests"}
        and top not in MAY_IMPORT[package]
    ]
    assert wrong == []


def test_only_engine_files_import_models() -> None:
    wrong = [
        f"{path}:{line}: imports {module}: only {', '.join(HEAVY_MODULES)} may"
        for path, line, module in all_imports()
        if module.partition(".")[0] in HEAVY and not is_heavy(path)
    ]
    assert wrong == []


def test_only_flows_imports_prefect() -> None:
    users = {path.parts[0] for path, _, module in all_imports() if module.partition(".")[0] == "prefect"}
    assert users == {"flows"}


@pytest.mark.parametrize("table", [VISION_ENGINES, EFFECTS_ENGINES, TIMBRE_ENGINES], ids=lambda table: table.stage)
def test_every_engine_of_a_table_is_there(table: EngineTable) -> None:
    for name, entry in table.entries.items():
        module, _, made = entry.target.partition(":")
        base = ROOT.joinpath(*module.split("."))
        path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        assert path.is_file(), f"{name}: {module} is no module"
        names = re.findall(r"\b\w+\b", path.read_text(encoding="utf-8"))
        assert made in names, f"{name}: {path.relative_to(ROOT)} has no {made}"
        assert entry.summary, name


# Notes each attempt at a forbidden import, so that one inside `try` or of a package that is not installed is seen too.
_WATCHER = """
import importlib, json, sys
forbidden, modules = json.loads(sys.argv[1])
tried = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in forbidden:
            tried.append(name)
sys.meta_path.insert(0, Watch())
for module in modules:
    importlib.import_module(module)
loaded = sorted({name.partition(".")[0] for name in sys.modules} & set(forbidden))
print(json.dumps([sorted(set(tried)), loaded]))
"""


def fresh_imports(modules: list[str], forbidden: set[str]) -> Any:
    """Import modules in a fresh process; gives [forbidden modules tried, forbidden packages loaded]."""
    command = [sys.executable, "-c", _WATCHER, json.dumps([sorted(forbidden), modules])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_watcher_sees_a_forbidden_import() -> None:
    assert fresh_imports(["wave"], {"wave", "torch"}) == [["wave"], ["wave"]]


def test_the_phases_import_neither_models_nor_prefect() -> None:
    light = [
        path for package in LIGHT_PACKAGES for path in source_files(package) if not is_heavy(path.relative_to(ROOT))
    ]
    modules = ["phase1_sound", "phase2_music", *map(module_name, light)]
    assert len(modules) > 30
    assert fresh_imports(modules, HEAVY | {"prefect"}) == [[], []]


def test_a_run_without_tracking_imports_neither_models_nor_prefect() -> None:
    modules = [
        "flows.cli",
        "flows.runs.stages",
        "flows.batch",
        "flows.runs.ledger",
        "flows.page",
        "flows.doctor",
        "flows.service.server",
    ]
    assert fresh_imports(modules, HEAVY | {"prefect"}) == [[], []]


def test_help_waits_for_no_library_of_sound() -> None:
    assert fresh_imports(["flows.cli"], HEAVY | {"prefect", "numpy", "scipy", "librosa", "cv2"}) == [[], []]


@cache
def setuptools_options() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        options: dict[str, Any] = tomllib.load(file)["tool"]["setuptools"]
    return options


@cache
def built_packages() -> set[str]:
    """What setuptools puts into a wheel, found with pyproject's own patterns."""
    return set(find_namespace_packages(str(ROOT), include=setuptools_options()["packages"]["find"]["include"]))


def test_a_wheel_holds_every_package_and_no_other() -> None:
    ours = {module_name(path.parent) for package in MAY_IMPORT for path in source_files(package)}
    assert ours - built_packages() == set()
    assert {package.partition(".")[0] for package in built_packages()} == set(MAY_IMPORT)


def test_a_wheel_holds_every_data_file() -> None:
    patterns = setuptools_options()["package-data"]
    missing, suffixes = [], set()
    for top in MAY_IMPORT:
        for path in (ROOT / top).rglob("*"):
            if not path.is_file() or "__pycache__" in path.parts or path.suffix in (".py", ".md"):
                continue
            suffixes.add(path.suffix)
            package = module_name(path.parent)
            wanted = [*patterns.get("*", []), *patterns.get(package, [])]
            if package not in built_packages() or not any(fnmatch(path.name, pattern) for pattern in wanted):
                missing.append(str(path.relative_to(ROOT)))
    assert missing == []
    assert suffixes >= {".json", ".toml", ".mid"}


def test_git_leaves_no_source_out() -> None:
    """A pattern such as `runs/` would take flows/runs along, and neither a clone nor ruff would see it."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    paths = [str(path.relative_to(ROOT)) for package in MAY_IMPORT for path in source_files(package)]
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=ROOT,
        input="\n".join(paths),
        capture_output=True,
        text=True,
    )
    assert asked.stdout == ""
    assert asked.returncode == 1, asked.stderr  # 1: none is ignored
