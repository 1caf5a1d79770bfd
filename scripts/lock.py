"""Write `requirements.lock`: every dependency, for every platform, by version and hash and nothing else.

Run with uv on the PATH (`pip install uv`); `make lock` calls it.
"""

# ruff: noqa: INP001 - a script, not a package
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (
    *("uv", "pip", "compile", "pyproject.toml", "--extra", "dev", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header", "--quiet"),
)


def main() -> None:
    """Resolve and write. Raises CalledProcessError when nothing fits."""
    resolved = subprocess.run(COMMAND, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603 (our own words)
    (ROOT / "requirements.lock").write_text(resolved.stdout)


if __name__ == "__main__":
    main()
