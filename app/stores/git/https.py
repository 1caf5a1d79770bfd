"""The road to a repository over HTTPS: connections stay open, nothing is waited for without an end."""

import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urljoin

import urllib3
from dulwich.client import default_user_agent_string
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from app.stores.errors import (
    RemoteRefusedError,
    RemoteUnavailableError,
    RemoteUrlError,
    RepositoryNotFoundError,
    StoreError,
)
from app.stores.git.address import Address
from app.stores.git.credentials import Credentials
from app.stores.git.transport import Patience, Reader, Service, UnreachableError

PORTION = 1 << 16  # bytes read at once
MOST_HOPS = 3
CONNECTIONS = 8  # kept open a host
REDIRECTS = {301, 302, 303, 307, 308}
NOT_SENT = (NewConnectionError, ConnectTimeoutError, ProxyError)
USER_AGENT = default_user_agent_string()


class HttpsTransport:
    """The repository at `address`, asked over connections of `pools`."""

    def __init__(self, address: Address, credentials: Credentials, pools: "Pools", patience: Patience) -> None:
        self._address = address
        self._credentials = credentials
        self._pools = pools
        self._timeout = urllib3.Timeout(connect=patience.connect, read=patience.silence)
        self._base = address  # where it was found: a server may send us elsewhere once

    @contextlib.contextmanager
    def talk(self, service: Service) -> Iterator["_HttpTalk"]:
        """See Transport.talk."""
        with contextlib.ExitStack() as answers:
            try:
                yield _HttpTalk(self, service, answers)
            except NOT_SENT as error:
                raise UnreachableError(f"{self._address} cannot be reached ({_why(error)}).") from error
            except (HTTPError, OSError) as error:
                if isinstance(error, SSLError) and isinstance(error.__context__, ssl.SSLCertVerificationError):
                    raise UnreachableError(f"{self._address} is not trusted ({error.__context__}).") from error
                raise RemoteUnavailableError(f"{self._address} broke off ({_why(error)}).") from error

    def get(self, service: Service) -> urllib3.BaseHTTPResponse:
        """What a service says of itself, wherever the server sends us for it."""
        tail = f"/info/refs?service={service}"
        version = {"Git-Protocol": "version=2"} if service == "git-upload-pack" else {}
        base = self._address
        for _ in range(MOST_HOPS):
            answer = self._request("GET", base, tail, None, version)
            if answer.status not in REDIRECTS:
                self._base = base
                return self._checked(answer, f"application/x-{service}-advertisement")
            answer.close()
            base = self._sent_to(base, tail, answer.headers.get("Location", ""))
        raise RemoteUnavailableError(f"{self._address} sends us from one address to the next.")

    def post(self, service: Service, request: bytes) -> urllib3.BaseHTTPResponse:
        """What a service answers."""
        headers = {"Content-Type": f"application/x-{service}-request", "Accept": f"application/x-{service}-result"}
        if service == "git-upload-pack":
            headers["Git-Protocol"] = "version=2"
        answer = self._request("POST", self._base, f"/{service}", request, headers)
        return self._checked(answer, f"application/x-{service}-result")

    def _request(
        self, method: str, base: Address, tail: str, body: bytes | None, headers: dict[str, str]
    ) -> urllib3.BaseHTTPResponse:
        self._credentials.permit(base)
        sent = {"User-Agent": USER_AGENT, "Pragma": "no-cache", **headers}
        who = self._credentials.authorization(base) if base.origin == self._address.origin else None
        if who is not None:
            sent["Authorization"] = who
        pool = self._pools.anywhere if self._credentials.lists(base) else self._pools.outside
        return pool.request(
            method,
            f"{base}{tail}",
            body=body,
            headers=sent,
            timeout=self._timeout,
            retries=False,
            redirect=False,
            preload_content=False,
        )

    def _sent_to(self, base: Address, tail: str, location: str) -> Address:
        url = urljoin(f"{base}{tail}", location)
        try:
            address = Address.parse(url.removesuffix(tail))
        except StoreError as error:
            raise RemoteUnavailableError(f"{self._address} sends us to what is no repository.") from error
        if not url.endswith(tail) or (address.scheme, base.scheme) == ("http", "https") or address.scheme == "ssh":
            raise RemoteUnavailableError(f"{self._address} sends us to {address.host}, where we do not go.")
        return address

    def _checked(self, answer: urllib3.BaseHTTPResponse, content_type: str) -> urllib3.BaseHTTPResponse:
        """The answer, when it is one. Raises what its status means."""
        if answer.status == 200 and answer.headers.get("Content-Type", "").partition(";")[0].strip() == content_type:  # noqa: PLR2004 - OK
            return answer
        answer.close()
        where, status = self._address, f"HTTP {answer.status}"
        if answer.status in {401, 403}:
            raise RemoteRefusedError(
                f"{where.host} does not let us in ({status}). Look at its line in the credentials file.", status
            )
        if answer.status in {404, 410}:
            raise RepositoryNotFoundError(f"{where.host} has no repository at {where}, or hides it from us.")
        if 400 <= answer.status < 500 and answer.status not in {407, 408, 425, 429}:  # noqa: PLR2004 - our fault, not the server's
            raise RemoteRefusedError(f"{where.host} refused what was sent ({status}).", status)
        if answer.status == 200:  # noqa: PLR2004 - OK
            raise RemoteUnavailableError(f"{where} answered something that is not Git's. Is it a repository's URL?")
        raise RemoteUnavailableError(f"{where} answered {status}.")


class _HttpTalk:
    """See Talk. Answers that were read to their end leave their connection to whoever asks next."""

    greets = False

    def __init__(self, transport: HttpsTransport, service: Service, answers: contextlib.ExitStack) -> None:
        self._transport = transport
        self._service = service
        self._answers = answers

    def greeting(self, most: int) -> Reader:
        """See Talk.greeting."""
        return self._reader(self._transport.get(self._service), most)

    def ask(self, request: bytes, most: int) -> Reader:
        """See Talk.ask."""
        return self._reader(self._transport.post(self._service, request), most)

    def _reader(self, answer: urllib3.BaseHTTPResponse, most: int) -> Reader:
        self._answers.callback(_leave, answer)
        return Reader(lambda: answer.read1(PORTION), most)  # what is there, so that slowness shows


class Pools:
    """Connections to every server. Certificates are checked against the system's store.

    Those of `anywhere` lead where the operator said; those of `outside` to no address inside the network.
    """

    def __init__(self) -> None:
        self.anywhere = urllib3.PoolManager(num_pools=64, maxsize=CONNECTIONS, cert_reqs="CERT_REQUIRED")
        self.outside = urllib3.PoolManager(num_pools=64, maxsize=CONNECTIONS, cert_reqs="CERT_REQUIRED")
        self.outside.pool_classes_by_scheme = {"https": _OutsidePool}


class _OutsideConnection(HTTPSConnection):
    """A connection to an address that was looked at: a name may stand for another the next time it is asked for."""

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        try:
            for address in outside(name, self.port):
                self._dns_host = address
                with contextlib.suppress(NewConnectionError):
                    return super()._new_conn()
        finally:
            self._dns_host = name
        raise NewConnectionError(self, "none of its addresses answers")


class _OutsidePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _OutsideConnection


def outside(host: str, port: int) -> list[str]:
    """The addresses of a host. Raises RemoteUrlError when one of them lies inside the network, UnreachableError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(f"{host} has no address.") from error
    addresses = [str(place[0]) for *_, place in found]
    if not all(map(_is_outside, addresses)):
        raise RemoteUrlError(
            f"{host} lies inside the network, where a URL that anybody may give must not lead. Have the operator list "
            "that host in the credentials file."
        )
    return addresses


def _is_outside(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_global and not address.is_multicast


def _leave(answer: urllib3.BaseHTTPResponse) -> None:
    """Let go of an answer. Whoever reads on at its end gives the connection back; any other one is closed."""
    with contextlib.suppress(HTTPError, OSError):
        answer.read(1)
    answer.close()


def _why(error: Exception) -> str:
    """What an exception says, without the objects it names."""
    return str(error).rpartition(": ")[2][:200] or type(error).__name__
