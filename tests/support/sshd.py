"""A real sshd on a free port, run by whoever runs the tests, with keys made for it."""

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host
PidFile {home}/pid
AuthorizedKeysFile {home}/client.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AcceptEnv {accepts}
"""


@dataclass(frozen=True)
class Sshd:
    """A running sshd: `key` opens it, `known_hosts` knows it."""

    home: Path
    port: int

    @property
    def key(self) -> Path:
        return self.home / "client"

    @property
    def known_hosts(self) -> Path:
        return self.home / "known_hosts"

    def url(self, repository: Path) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{repository}"


@contextmanager
def sshd(home: Path, accepts: str = "GIT_PROTOCOL") -> Iterator[Sshd]:
    """An sshd that ends with the block. `accepts` is what of the environment it takes from clients."""
    assert SSHD, "ask for SSHD first"
    home.mkdir(parents=True, exist_ok=True)
    for name in ("host", "client"):
        if not (home / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (home / "config").write_text(CONFIG.format(port=port, home=home, accepts=accepts))
    kind, key, *_ = (home / "host.pub").read_text().split()
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    privileges = Path("/run/sshd")  # where sshd wants to be locked into when root runs it
    if Path("/run").stat().st_uid == Path(home).stat().st_uid:
        privileges.mkdir(exist_ok=True)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", home / "config"], stdout=log, stderr=log)
    try:
        _wait(port, process)
        yield Sshd(home, port)
    finally:
        process.terminate()
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("sshd did not start")
