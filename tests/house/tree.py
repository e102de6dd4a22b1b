"""The files of the project, as git or a plain copy of it has them."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {
    ".venv",
    ".git",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    "build",
    "dist",
    ".hypothesis",
}


def tracked() -> list[Path]:
    """Every text file that is part of the project."""
    try:
        names = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30, text=True
        ).stdout.split("\0")
        files = [ROOT / name for name in names if name]
    except (OSError, subprocess.SubprocessError):
        files = [path for path in ROOT.rglob("*") if not NOT_OURS & set(path.relative_to(ROOT).parts)]
    return [path for path in files if path.is_file() and is_text(path)]


def is_text(path: Path) -> bool:
    return b"\0" not in path.read_bytes()[:4096]


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]
