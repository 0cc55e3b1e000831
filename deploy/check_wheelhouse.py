"""Install from a wheelhouse alone, in a fresh environment, and see that serving works there.

python deploy/check_wheelhouse.py dist/wheelhouse
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PROBE = """
import importlib.util, thinfer.serve.app, thinfer.cli.main
heavy = [name for name in ("torch", "transformers", "onnx") if importlib.util.find_spec(name)]
print("thinfer", thinfer.__version__, "serves; not installed: torch" if not heavy else heavy)
raise SystemExit(len(heavy))
"""


def main() -> int:
    """Give 0 where it works."""
    wheelhouse = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=False)
        python = Path(folder) / "bin" / "python"
        # The outer pip installs into the fresh environment, which needs none of its own.
        install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
        install += ["--quiet", "--disable-pip-version-check", "--find-links", str(wheelhouse)]
        subprocess.run([*install, "thinfer"], check=True)
        subprocess.run([python, "-c", PROBE], check=True, cwd=folder)
        subprocess.run([python.with_name("thinfer"), "doctor"], check=True, cwd=folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
