"""URLs of repositories that lead where nobody should be led."""

from collections.abc import Iterator

from tests.support.api import document
from tests.support.hostile.day import Hostile, Target, hostile

URLS = [
    *("file:///etc", "/etc", "../x", "ext::sh -c id", "fd::7", "git://example.org/x.git", "gopher://127.0.0.1:70/x"),
    *("javascript:alert(1)", "data:text/plain,x", "git@127.0.0.1:x.git", "not a url", "", "https://", "https:///x"),
    *("https://ada:secret@git.example.org/x.git", "https://ada@git.example.org/x.git", "ssh://a:b@git.example.org/x.git"),
    *("ssh://-oProxyCommand=id/x.git", "ssh://-oProxyCommand=id@git.example.org/x.git", "--upload-pack=id"),
    *("https://git.example.org/x.git?a=b", "https://git.example.org/x.git#a", "https://git.example.org/x y.git"),
    *("https://git.example.org/x\n.git", "https://git.example.org:99999/x.git", "https://git.example.org:0/x.git"),
    *("https://[::1/x.git", "https://exa mple.org/x.git", "https://git.example.org/" + "a" * 5000, "https://\ud800.org/x"),
    *("http://localhost:6379/x.git", "http://127.0.0.1/x.git", "http://169.254.169.254/latest/meta-data/x.git"),
    *("https://localhost/x.git", "https://127.0.0.1/x.git", "https://127.1/x.git", "https://2130706433/x.git"),
    *("https://0x7f000001/x.git", "https://0/x.git", "https://[::1]/x.git", "https://[::]/x.git"),
    *("https://[::ffff:127.0.0.1]/x.git", "https://[::ffff:169.254.169.254]/x.git", "https://169.254.169.254/x.git"),
    *("https://10.0.0.1/x.git", "https://172.16.0.1/x.git", "https://192.168.1.1/x.git", "https://100.64.0.1/x.git"),
    *("https://[fe80::1]/x.git", "https://[fd00:ec2::254]/x.git", "https://224.0.0.1/x.git", "https://255.255.255.255/x.git"),
]  # fmt: skip


def inputs() -> Iterator[Hostile]:
    """All of them."""
    for url in URLS:
        yield hostile(
            f"remote: {url[:50]!a}",
            lambda target, url=url: create(target, url),
            "200 InvalidInputError",
        )


def create(target: Target, url: str) -> str:
    return target.ask(document("createProject"), {"input": {"name": "hostile/remote", "remoteUrl": url}})
