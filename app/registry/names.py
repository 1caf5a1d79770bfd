"""What may be called what. Each check answers None, or a sentence that says what to change.

Projects become folders, branches become refs, artifacts become keys of a YAML mapping: the rules are the strictest
that all three, and a case-insensitive disk, can live with.
"""

import re
import unicodedata
from urllib.parse import urlsplit

PROJECT_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
CONTENT_TYPE = re.compile(r"[\w.+-]+/[\w.+*-]+( ?; ?[\w.-]+=([\w.+-]+|\"[ \w.+/:-]*\"))*\Z", re.ASCII)
OID = re.compile(r"[0-9a-f]{40}\Z")
REMOTE_URL = re.compile(
    r"[a-z]+://([A-Za-z0-9_][A-Za-z0-9_.-]*@)?([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/[!-~]+\Z"
)
REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
MAX_NAME = 200
MAX_BRANCH = 200
MAX_URL = 2000
MAX_TEXT = 10_000


def problem_with_project(name: str) -> str | None:
    """A project: segments of letters, digits, `_`, `.`, `-` joined by `/`, 200 characters at most."""
    if not name:
        return "A project needs a name."
    if len(name) > MAX_NAME:
        return f"A project name has at most {MAX_NAME} characters; this one has {len(name)}."
    for segment in name.split("/"):
        if not PROJECT_SEGMENT.match(segment) or ".." in segment or segment.endswith("."):
            return (
                "A project name is made of letters, digits, '_', '.' and '-', each part between slashes beginning with "
                f"a letter or a digit; the part {segment!r} does not."
            )
        if segment.lower().endswith((".git", ".lock")):
            return f"No part of a project name may end in '.git' or '.lock'; {segment!r} does."
    return None


def problem_with_branch(name: str) -> str | None:
    """A branch: what `git check-ref-format --branch` accepts, 200 bytes at most."""
    if not name:
        return "A branch needs a name."
    if len(name.encode("utf-8", "surrogatepass")) > MAX_BRANCH:
        return f"A branch name has at most {MAX_BRANCH} bytes."
    if not _encodable(name):
        return "A branch name has to be valid Unicode."
    if match := REF_FORBIDDEN.search(name):
        return f"A branch name cannot contain {match.group()!r}."
    if name.startswith(("-", "/", "refs/")) or name.endswith(("/", ".")) or name in {"@", "HEAD"}:
        return f"{name!r} is not a branch name Git accepts: choose one that does not begin or end like that."
    if any(part.startswith(".") or part.endswith(".lock") for part in name.split("/")):
        return "No part of a branch name may begin with '.' or end in '.lock'."
    return None


def problem_with_artifact(name: str) -> str | None:
    """An entry of the manifest: printable text in parts joined by `/`, none of them `.`, `..` or `.git`."""
    if not name:
        return "An artifact needs a name."
    if len(name) > MAX_NAME:
        return f"An artifact name has at most {MAX_NAME} characters; this one has {len(name)}."
    if name != name.strip() or not name.isprintable() or not _encodable(name):
        return "An artifact name is printable text without spaces at its ends."
    if unicodedata.normalize("NFC", name) != name:
        return "An artifact name has to be in Unicode's composed form (NFC)."
    if any(part in {"", ".", ".."} or part.lower() == ".git" for part in name.split("/")):
        return "No part of an artifact name between slashes may be empty, '.', '..' or '.git'."
    if name == "artifacts":
        return "'artifacts' is the name of the section other tools keep their entries in; choose another."
    return None


def problem_with_manifest_path(path: str) -> str | None:
    """A manifest: a relative path of a YAML file inside the repository."""
    parts = path.split("/")
    if len(path) > MAX_NAME or not path.isprintable() or not _encodable(path) or "\\" in path:
        return f"A manifest path is printable text of at most {MAX_NAME} characters."
    if any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
        return "A manifest path is relative, without empty parts, '.', '..' or '.git'."
    if not parts[-1].endswith((".yml", ".yaml")):
        return "A manifest path ends in .yml or .yaml."
    return None


def problem_with_remote_url(url: str) -> str | None:
    """A repository elsewhere: `https://host/path`, `ssh://user@host/path`, or `http://`; never with a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "This is no URL: it is like https://git.example.org/team/models.git."
    if parts.scheme == "" or "://" not in url:
        return "A repository's URL is like https://git.example.org/team/models.git or ssh://git@git.example.org/team/models.git."
    if parts.scheme not in {"https", "ssh", "http"}:
        return f"Repositories are reached by https:// or ssh://, not {parts.scheme}://."
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        return "A URL holds no credentials: the operator of this registry keeps those, by host."
    if len(url) > MAX_URL or not REMOTE_URL.match(url) or parts.query or parts.fragment or port == 0:
        return f"A repository's URL has a host and a path and at most {MAX_URL} characters, without ?, # and spaces."
    return None


def problem_with_text(text: str, limit: int = MAX_TEXT) -> str | None:
    """Prose (a description, a message): valid Unicode without control characters other than line ends and tabs."""
    if len(text) > limit:
        return f"This text has at most {limit} characters; it has {len(text)}."
    if not _encodable(text) or any((c < " " and c not in "\n\t") or c == "\x7f" for c in text):
        return "This text has to be valid Unicode without control characters."
    return None


def problem_with_word(text: str) -> str | None:
    """A short text on one line (an author's name, a type, an idempotency key): printable, 1 to 200 characters."""
    if text and text == text.strip() and len(text) <= MAX_NAME and text.isprintable() and _encodable(text):
        return None
    return f"This is one line of 1 to {MAX_NAME} printable characters, without spaces at its ends."


def problem_with_person(text: str) -> str | None:
    """A name or an address in a Git signature: one line without `<` and `>`."""
    if any(character in text for character in "<>"):
        return "Git has no place for '<' or '>' in a name or an address."
    return problem_with_word(text)


def problem_with_content_type(text: str) -> str | None:
    """A media type: `type/subtype`, with parameters or without."""
    if len(text) <= MAX_NAME and CONTENT_TYPE.match(text):
        return None
    return f"A content type is like 'application/json', at most {MAX_NAME} characters."


def problem_with_filename(text: str) -> str | None:
    """The name a download is saved under: printable, no folders."""
    if "/" in text or "\\" in text or text in {".", ".."}:
        return "A file name has no folders in it; give its last part alone."
    return problem_with_word(text)


def problem_with_digest(digest: str) -> str | None:
    """A digest: `sha256:` and 64 lowercase hex digits."""
    if DIGEST.match(digest):
        return None
    return "A digest is 'sha256:' followed by 64 lowercase hexadecimal digits."


def problem_with_oid(oid: str) -> str | None:
    """A commit id: 40 lowercase hex digits, never abbreviated."""
    if OID.match(oid):
        return None
    return "A commit id is 40 lowercase hexadecimal digits, never abbreviated."


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
