"""Levels, not a web: what may import what, and what a file may be called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.levels import (
    find_cycles,
    find_drawers,
    find_hidden_imports,
    find_level_faults,
    find_sprawl,
)
from tests.support.source import PACKAGE


def write_package(root: Path, files: dict[str, str]) -> Path:
    package = root / "thinfer"
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_imports_go_down_and_never_sideways() -> None:
    assert find_level_faults(PACKAGE) == []


def test_files_do_not_import_each_other_in_rings() -> None:
    assert find_cycles(PACKAGE) == []


def test_imports_are_at_the_top() -> None:
    assert find_hidden_imports(PACKAGE) == []


def test_no_file_is_a_drawer() -> None:
    assert find_drawers(PACKAGE) == []


def test_nothing_sprawls() -> None:
    assert find_sprawl(PACKAGE) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("from thinfer.text.batch import Batch", "sideways"),
        ("import thinfer.text.batch", "sideways"),
        ("from thinfer.nn.encoder import E", "upwards"),
        ("from thinfer import nn", "upwards"),
        ("from ..nn.encoder import E", "upwards"),
        ("def f():\n    from thinfer.nn import E", "upwards"),
        ("if TYPE_CHECKING:\n    from thinfer.nn import E", "upwards"),
        ("from thinfer.attic import A", "no level"),
    ],
)
def test_an_import_against_the_levels_is_refused(tmp_path: Path, line: str, fault: str) -> None:
    files = {"__init__.py": "", "nn/__init__.py": "", "quality/floor.py": line}
    (found,) = find_level_faults(write_package(tmp_path, files))
    assert fault in found
    assert found.startswith("thinfer.quality.floor:")


def test_imports_down_and_beside_in_one_folder_are_fine(tmp_path: Path) -> None:
    text = "import numpy\nfrom thinfer import __version__\nfrom thinfer.errors import E\n"
    text += "from thinfer.core.files import f\nfrom thinfer.quality.labels import L\n"
    files = {"__init__.py": "", "quality/floor.py": text, "quality/labels.py": ""}
    assert find_level_faults(write_package(tmp_path, files)) == []


def test_rings_are_refused(tmp_path: Path) -> None:
    files = {
        "core/__init__.py": "from thinfer.core.a import A",
        "core/a.py": "from thinfer.core.b import B",
        "core/b.py": "from thinfer.core import c",
        "core/c.py": "import thinfer.core.a",
        "core/d.py": "from thinfer.core.a import A",
        "core/e.py": "from thinfer.core import A",
    }
    package = write_package(tmp_path, files)
    assert find_cycles(package) == [
        "thinfer.core.a → thinfer.core.b → thinfer.core.c → thinfer.core.a"
    ]
    (package / "core" / "c.py").write_text("from thinfer.core import A")
    assert find_cycles(package) == [
        "thinfer.core → thinfer.core.a → thinfer.core.b → thinfer.core.c → thinfer.core"
    ]


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("engine/onnxruntime.py", "class E:\n    def __init__(self):\n        import onnx", 0),
        ("engine/onnxruntime.py", "class E:\n    def run(self):\n        import onnx", 1),
        ("engine/registry.py", "def f():\n    import thinfer.engine.fake", 0),
        ("cli/fit.py", "def f():\n    import torch", 0),
        ("core/optional.py", "def f():\n    return import_module('x')", 0),
        ("core/files.py", "def f():\n    return importlib.import_module('x')", 1),
        ("nn/train.py", "async def f():\n    from torch import nn", 1),
        ("nn/train.py", "import torch\nclass A:\n    import json", 0),
        ("nn/train.py", "x = __import__('torch')", 1),
    ],
)
def test_hidden_imports(tmp_path: Path, name: str, text: str, count: int) -> None:
    assert len(find_hidden_imports(write_package(tmp_path, {name: text}))) == count


def test_drawers_are_refused(tmp_path: Path) -> None:
    names = ["core/utils.py", "text/text_helpers.py", "misc/__init__.py", "nn/common.py"]
    fine = {"core/commons_act.py": "", "text/utilise.py": "", "engine/base.py": ""}
    package = write_package(tmp_path, dict.fromkeys(names, "") | fine)
    assert find_drawers(package) == [
        "core/utils.py",
        "misc",
        "nn/common.py",
        "text/text_helpers.py",
    ]


def test_sprawl_is_refused(tmp_path: Path) -> None:
    files = {
        "nn/long.py": "x = 1\n" * 401,
        "nn/tall.py": "def f():\n" + "    x = 1\n" * 60,
        "nn/wide.py": "class A:\n    def f(self, a, b, *, c, d, e, f, g, h, i): ...",
        "cli/wide.py": "def f(a, b, c, d, e, f, g, h, i): ...",
        "nn/fine.py": "def f(a, b, *, c, d, e, f, g, h):\n" + "    x = 1\n" * 59,
    }
    assert find_sprawl(write_package(tmp_path, files)) == [
        "thinfer.nn.long has 401 lines",
        "thinfer.nn.tall.f has 61 lines",
        "thinfer.nn.wide.f has 9 parameters",
    ]
