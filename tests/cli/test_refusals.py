"""What the reading commands say, and end with, when they cannot answer."""

from pathlib import Path

import pytest

from tests.support.cli import call, run
from tests.support.server import Server, free_port


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ls", "demmo"], "There is no project demmo. Did you mean demo?"),
        (["log", "demo", "-b", "stagin"], "There is no branch stagin in demo. Did you mean staging"),
        (["ls", "demo", "--at", "stagin~0"], "There is no revision stagin~0 in demo. Did you mean staging?"),
        (["diff", "demo", "main", "stging"], "There is no revision stging in demo. Did you mean staging?"),
        (["show", "demo", "topic-data"], "There is no artifact topic-data in demo. Did you mean topic-training-data?"),
        (
            ["diff", "demo", "main", "staging", "topic-data"],
            "There is no artifact topic-data in demo at either revision. Did you",
        ),
        (["show", "demox", "topic"], "There is no project demox. Did you mean demo?"),
        (["ls", "nothing\x1b[31mlike", "--json"], r"There is no project nothing\x1b[31mlike."),
        (["ls", "demo", "--at", "two words"], "revision: 'two words' is no revision"),
        (["ls", "demo", "--meta", "=1"], "filter.metadata"),
    ],
)
def test_what_is_not_there_is_said_with_the_nearest_names(words: list[str], said: str, shared_server: Server) -> None:
    ran = call(shared_server.url, *words)
    assert ran.err.startswith(said)
    assert (ran.code, ran.out) == (1, "")


@pytest.mark.parametrize(
    "words",
    [
        ["lss"],
        ["show", "demo"],
        ["ls", "--nonsense"],
        ["ls", "--name", "x"],
        ["ls", "--branch", ""],
        ["ls", "demo", "--branches", "--type", "model"],
        ["ls", "demo", "--meta", "config.type"],
        ["ls", "demo", "--limit", "0"],
        ["log", "demo", "--branch", "main", "--at", "main"],
        ["watch", "--kind", "nonsense"],
        ["watch", "--object-state", "gone"],
        ["watch", "--json", "--exec", "true"],
        ["ls", "--server", "127.0.0.1:8000"],
        ["ls", "--server", "http://ada:secret@127.0.0.1:8000"],
        ["ls", "--server", "http://xn--a"],
    ],
)
def test_wrong_use_ends_with_2_before_any_server_is_asked(words: list[str]) -> None:
    ran = call(f"http://127.0.0.1:{free_port()}", *words)
    assert (ran.code, ran.out) == (2, "")
    assert "secret" not in ran.err


def test_no_server_is_said_with_its_address_and_ends_with_3() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    ran = run("http://127.0.0.1:1", "ls", "--server", address)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith(f"No server can be reached at {address}/graphql: ")
    assert "`ml-registry serve`" in ran.err


def test_no_server_to_watch_ends_with_3(tmp_path: Path) -> None:
    for words in ([], ["--since", "x"], ["--cursor-file", str(tmp_path / "at")]):
        ran = run(f"http://127.0.0.1:{free_port()}", "watch", *words)
        assert (ran.code, ran.out) == (3, "")
        assert ran.err.startswith("No server can be reached at")


def test_proxies_of_the_environment_stand_not_between_the_program_and_its_own_machine(shared_server: Server) -> None:
    ran = run(shared_server.url, "ls", HTTP_PROXY="http://127.0.0.1:1", ALL_PROXY="socks5://127.0.0.1:1")
    assert (ran.code, ran.err) == (0, "")


def test_a_proxy_that_cannot_be_used_is_said() -> None:
    ran = run("http://registry.invalid", "ls", ALL_PROXY="nonsense://127.0.0.1:1")
    assert ran.code == 3
    assert ran.err.startswith("The proxies or certificates the environment names cannot be used")


@pytest.mark.parametrize("command", ["ls", "show", "log", "diff", "watch"])
def test_the_help_of_every_reading_command_tells_what_it_ends_with(command: str) -> None:
    text = " ".join(call("", command, "--help").out.split())
    assert "Ends with 0; 1 when it is not there or the server refuses; 2 for wrong use; 3 when no" in text
