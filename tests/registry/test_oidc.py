"""People who sign in elsewhere: which tokens of an issuer are believed, and what they say."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey

from app.registry.access.identity import Identity
from app.registry.access.keys import RETRY_SECONDS, STALE_SECONDS, Keys
from app.registry.access.oidc import MAX_SECONDS, MAX_TOKEN, OidcIssuer
from app.registry.errors import UnauthenticatedError
from app.registry.model import Actor
from app.stores.connect import keys_of
from tests.support.issuer import AUDIENCE, WELL_KNOWN, Issuer, answer, issuing

HOUR = 3600


@pytest.fixture(scope="module")
def home() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture
def issuer(home: Issuer) -> Iterator[Issuer]:
    """The same for all tests, its moods and keys as they were."""
    keys = dict(home.keys)
    home.asked.clear()
    yield home
    home.moods.clear()
    home.keys = keys


class Clock:
    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.time() + self.passed


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def oidc(issuer: Issuer, clock: Clock) -> OidcIssuer:
    return OidcIssuer(issuer.url, AUDIENCE, Keys(keys_of(issuer.url), clock), clock)


async def refusal(oidc: OidcIssuer, token: str) -> str:
    with pytest.raises(UnauthenticatedError) as refused:
        await oidc.identify(token)
    assert "Get a new one from http" in str(refused.value)
    return str(refused.value)


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_a_token_says_who_somebody_is_and_which_groups_they_are_in(issuer: Issuer, oidc: OidcIssuer) -> None:
    exp = int(time.time()) + 60
    claims = {"email": "ada@example.org", "email_verified": True, "name": "Ada", "groups": ["search", "all"]}
    assert await oidc.identify(issuer.token(exp=exp, **claims)) == Identity(
        Actor("Ada", "ada@example.org"),
        frozenset({"user:ada@example.org", "group:search", "group:all", "anyone"}),
        exp,
    )


@pytest.mark.parametrize("verified", [None, False, "true", 1])
async def test_an_address_nobody_verified_is_not_theirs(issuer: Issuer, oidc: OidcIssuer, verified: Any) -> None:
    who = await oidc.identify(issuer.token(email="ada@example.org", email_verified=verified))
    assert who.names == {"sub:248289761001", "anyone"}
    assert who.actor == Actor("248289761001", "248289761001@127.0.0.1")


async def test_a_subject_that_reads_as_an_address_is_not_whose_address_it_is(issuer: Issuer, oidc: OidcIssuer) -> None:
    who = await oidc.identify(issuer.token(sub="ada@example.org"))
    assert who.names == {"sub:ada@example.org", "anyone"}


@pytest.mark.parametrize("name", ["Ada <root@example.org>", "Ada\nLovelace", "", 5, "x" * 300])
async def test_a_name_git_cannot_take_is_left_out(issuer: Issuer, oidc: OidcIssuer, name: Any) -> None:
    who = await oidc.identify(issuer.token(email="ada@example.org", email_verified=True, name=name))
    assert who.actor == Actor("ada@example.org", "ada@example.org")


@pytest.mark.parametrize(
    ("key", "alg"), [("rsa", "RS256"), ("rsa", "PS256"), ("ec", "ES256"), ("ed", "EdDSA"), ("ed", "Ed25519")]
)
async def test_each_algorithm_is_taken(issuer: Issuer, oidc: OidcIssuer, key: str, alg: str) -> None:
    assert (await oidc.identify(issuer.token(key, alg))).names == {"sub:248289761001", "anyone"}


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "at+jwt", "application/at+jwt"])
async def test_each_type_is_taken(issuer: Issuer, oidc: OidcIssuer, typ: str | None) -> None:
    assert await oidc.identify(issuer.token(header={"typ": typ}))


async def test_one_of_several_audiences_may_be_us(issuer: Issuer, oidc: OidcIssuer) -> None:
    assert await oidc.identify(issuer.token(aud=["other", AUDIENCE]))


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://login.example.org"},
    "an issuer with a slash more": {"iss": "+/"},
    "no issuer": {"iss": None},
    "a list of issuers": {"iss": ["+"]},
    "another audience": {"aud": "mlflow"},
    "a part of the audience": {"aud": AUDIENCE[:-1]},
    "other audiences": {"aud": ["mlflow", "other"]},
    "no audience": {"aud": None},
    "an audience that is a mapping": {"aud": {AUDIENCE: True}},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is a number": {"sub": 5},
    "a subject Git cannot take": {"sub": "ada <root@example.org>"},
    "no end": {"exp": None},
    "an end that has passed": {"exp": time.time() - 1},
    "an end in 25 hours": {"exp": time.time() + 25 * HOUR},
    "an end beyond all floats": {"exp": 10**400},
    "an end that is no number": {"exp": "9999999999"},
    "an end that is not a number": {"exp": float("nan")},
    "an end that is infinite": {"exp": float("inf")},
    "an end that is true": {"exp": True},
    "a beginning that is to come": {"nbf": time.time() + 10 * HOUR},
    "an issue that is to come": {"iat": time.time() + 10 * HOUR},
    "an issue that is no number": {"iat": "now"},
    "groups that are text": {"groups": "search"},
    "groups that are numbers": {"groups": [1]},
}


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
async def test_what_a_token_may_not_say(issuer: Issuer, oidc: OidcIssuer, claims: dict[str, Any]) -> None:
    said = json.loads(json.dumps(claims).replace('"+', f'"{issuer.url}'))
    token = issuer.signed(json.dumps({**issuer.claims(**claims), **{k: v for k, v in said.items() if v is not None}}))
    await refusal(oidc, token)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_clocks_may_differ_by_a_minute(issuer: Issuer, oidc: OidcIssuer, claim: str) -> None:
    assert await oidc.identify(issuer.token(**{claim: time.time() + 30}))
    await refusal(oidc, issuer.token(**{claim: time.time() + 90}))


async def test_a_token_may_be_good_for_a_day(issuer: Issuer, oidc: OidcIssuer) -> None:
    assert await oidc.identify(issuer.token(exp=int(time.time()) + MAX_SECONDS))


BAD_HEADERS: dict[str, dict[str, Any]] = {
    "what must be understood": {"crit": ["exp"], "exp": 1},
    "what must be understood and is": {"crit": ["kid"]},
    "nothing that must be understood": {"crit": []},
    "a payload that is not encoded": {"b64": False, "crit": ["b64"]},
    "a payload that may not be encoded": {"b64": True},
    "an id that is a list": {"kid": ["ec"]},
    "an id that is a number": {"kid": 5},
    "an id that is a mapping": {"kid": {"ec": 1}},
    "an id that is a path": {"kid": "../../dev/null"},
    "an id that is a query": {"kid": "ec' OR '1'='1"},
    "the id of another key": {"kid": "rsa"},
    "no id among several": {"kid": None},
    "the type of another token": {"typ": "logout+jwt"},
    "a type that is no text": {"typ": 5},
    "an algorithm in other letters": {"alg": "es256"},
    "an algorithm that is a list": {"alg": ["ES256"]},
    "another algorithm": {"alg": "ES384"},
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
async def test_what_may_not_stand_in_a_header(issuer: Issuer, oidc: OidcIssuer, header: dict[str, Any]) -> None:
    good = issuer.token(header={name: value for name, value in header.items() if name not in {"alg", "b64"}})
    _, payload, signature = good.split(".")
    protected = {name: value for name, value in ({"alg": "ES256", "kid": "ec"} | header).items() if value is not None}
    await refusal(oidc, f"{encoded(protected)}.{payload}.{signature}")
    if not {"alg", "b64"} & header.keys():
        await refusal(oidc, good)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
async def test_a_token_without_a_signature_is_nothing(issuer: Issuer, oidc: OidcIssuer, alg: str) -> None:
    start = f"{encoded({'alg': alg, 'kid': 'ec'})}.{encoded(issuer.claims())}"
    for end in ("", ".", ".AA"):
        await refusal(oidc, start + end)


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
async def test_a_public_key_is_no_shared_secret(issuer: Issuer, oidc: OidcIssuer, alg: str) -> None:
    key = issuer.keys["rsa"]
    assert isinstance(key, RSAKey)
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    for secret in (key.as_pem(), key.as_der(), json.dumps(key.as_dict(private=False)).encode()):
        start = f"{encoded({'alg': alg, 'kid': 'rsa'})}.{encoded(issuer.claims())}"
        signature = base64.urlsafe_b64encode(hmac.new(secret, start.encode(), digest).digest()).rstrip(b"=").decode()
        await refusal(oidc, f"{start}.{signature}")


async def test_a_shared_secret_the_issuer_publishes_signs_nothing(issuer: Issuer, oidc: OidcIssuer) -> None:
    issuer.keys["oct"] = OctKey.generate_key(256, {"kid": "oct"})
    await refusal(oidc, issuer.token("oct", "HS256"))


async def test_a_key_the_token_brings_is_ignored(issuer: Issuer, oidc: OidcIssuer) -> None:
    ours = ECKey.generate_key("P-256", {"kid": "ec"})
    brought = {"jwk": ours.as_dict(private=False), "jku": f"{issuer.url}/evil", "x5u": f"{issuer.url}/evil"}
    await refusal(oidc, issuer.token(ours, header=brought))
    assert "/evil" not in issuer.asked
    assert await oidc.identify(issuer.token(header=brought))


async def test_a_key_that_is_for_something_else_signs_nothing(issuer: Issuer, oidc: OidcIssuer) -> None:
    issuer.keys["enc"] = ECKey.generate_key("P-256", {"kid": "enc", "use": "enc"})
    signer = ECKey.import_key({**issuer.keys["enc"].as_dict(private=True), "use": "sig"})
    await refusal(oidc, issuer.token(signer))


async def test_a_key_of_1024_bits_is_too_short(issuer: Issuer, oidc: OidcIssuer) -> None:
    with pytest.warns(UserWarning, match="2048"):
        issuer.keys["short"] = RSAKey.generate_key(1024, {"kid": "short"})
    await refusal(oidc, issuer.token("short", "RS256"))


async def test_one_bit_more_or_less_breaks_a_token(issuer: Issuer, oidc: OidcIssuer) -> None:
    header, payload, signature = issuer.token().split(".")
    other = encoded(issuer.claims(sub="root"))
    for token in (f"{header}.{other}.{signature}", f"{header}.{payload}.{signature[::-1]}", f"{header}.{payload}."):
        await refusal(oidc, token)


DEEP = "[" * 5000 + "]" * 5000
LONG = {
    "a text of 17 KiB": "x" * 17 * 1024,
    "nothing": "",
    "dots": "....",
    "no token": "Ada",
    "text beyond ASCII": "é.é.é",
    "half a pair": "\ud800",
    "a header that is a list": f"{encoded(['alg'])}.e30.AA",
    "a header that is text": f"{encoded('alg')}.e30.AA",
    "a header that is no JSON": "e30x.e30.AA",
    "a deep header": f"{base64.urlsafe_b64encode(DEEP.encode()).rstrip(b'=').decode()}.e30.AA",
}


@pytest.mark.parametrize("token", LONG.values(), ids=LONG)
async def test_what_is_no_token(oidc: OidcIssuer, token: str) -> None:
    await refusal(oidc, token)


async def test_a_good_token_is_at_most_16_kib_long(issuer: Issuer, oidc: OidcIssuer) -> None:
    short, long = issuer.token(groups=["x" * 11_000]), issuer.token(groups=["x" * 13_000])
    assert len(short) <= MAX_TOKEN < len(long)
    assert await oidc.identify(short)
    assert "16384" in await refusal(oidc, long)


@pytest.mark.parametrize("payload", [DEEP, '{"a":' * 3000 + "1" + "}" * 3000, "[]", "5", "{", "\xff", "9" * 5000])
async def test_what_an_issuer_must_not_sign(issuer: Issuer, oidc: OidcIssuer, payload: str) -> None:
    await refusal(oidc, issuer.signed(payload))


TEXTS = st.one_of(
    st.text(max_size=50),
    st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}", fullmatch=True),
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "jku", "jwk", "x5c"]),
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.sampled_from(["ES256", "ec", "JWT"]), st.just([]), st.just({})
        ),
    ).map(lambda header: f"{encoded(header)}.e30.AAAA"),
)


class Nothing:
    async def fetch(self) -> list[dict[str, Any]]:
        return []


@given(TEXTS)
async def test_whatever_text_comes_it_is_refused_in_words(token: str) -> None:
    await refusal(OidcIssuer("https://login.example.org", AUDIENCE, Keys(Nothing())), token)


async def test_a_token_that_was_checked_is_known_until_it_expires(
    issuer: Issuer, oidc: OidcIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.token(exp=int(time.time()) + 100)
    first = await oidc.identify(token)
    monkeypatch.setattr(oidc, "_checked", None)
    assert await oidc.identify(token) is first
    clock.passed = 101
    assert "expired" in await refusal(oidc, token)


async def test_the_issuer_is_asked_once_for_all_tokens(issuer: Issuer, oidc: OidcIssuer) -> None:
    for number in range(5):
        await oidc.identify(issuer.token(sub=f"s{number}"))
    assert issuer.asked == [WELL_KNOWN, "/keys"]


async def test_a_key_that_is_new_is_found_and_one_that_is_gone_is_not(
    issuer: Issuer, oidc: OidcIssuer, clock: Clock
) -> None:
    old = issuer.token()
    await oidc.identify(issuer.token("ed", "EdDSA"))
    issuer.keys = {"new": ECKey.generate_key("P-256", {"kid": "new"})}
    clock.passed = RETRY_SECONDS + 1
    assert await oidc.identify(issuer.token("new"))
    assert await oidc.identify(issuer.token("new", header={"kid": None}))  # there is no other
    await refusal(oidc, old)
    assert issuer.asked == [WELL_KNOWN, "/keys"] * 2


async def test_unknown_keys_make_nobody_ask_the_issuer_all_the_time(
    issuer: Issuer, oidc: OidcIssuer, clock: Clock
) -> None:
    for number in range(20):
        await refusal(oidc, issuer.token(header={"kid": f"k{number}"}))
    assert issuer.asked == [WELL_KNOWN, "/keys"]
    clock.passed = RETRY_SECONDS + 1
    await refusal(oidc, issuer.token(header={"kid": "k"}))
    assert issuer.asked == [WELL_KNOWN, "/keys"] * 2


async def test_keys_are_looked_at_again_after_an_hour(issuer: Issuer, oidc: OidcIssuer, clock: Clock) -> None:
    await oidc.identify(issuer.token(sub="one"))
    del issuer.keys["ec"]
    clock.passed = STALE_SECONDS + 1
    await oidc.identify(issuer.token("ed", "EdDSA", exp=int(clock()) + 60))
    assert issuer.asked == [WELL_KNOWN, "/keys"] * 2


async def test_while_the_issuer_is_away_known_keys_stay_good(issuer: Issuer, oidc: OidcIssuer, clock: Clock) -> None:
    await oidc.identify(issuer.token(sub="one"))
    issuer.moods[WELL_KNOWN] = lambda handler: answer(handler, 503, b"no")
    clock.passed = 2 * STALE_SECONDS
    assert await oidc.identify(issuer.token(sub="two", exp=int(clock()) + 60))
    assert "cannot be asked" in await refusal(oidc, issuer.token(header={"kid": "new"}, exp=int(clock()) + 60))
    issuer.moods.clear()
    clock.passed += RETRY_SECONDS + 1
    issuer.keys["new"] = ECKey.generate_key("P-256", {"kid": "new"})
    assert await oidc.identify(issuer.token("new", exp=int(clock()) + 60))
