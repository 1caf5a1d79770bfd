"""Every setting, its default and its meaning. Read once, at the start, from `REGISTRY_*` in the environment."""

import difflib
import getpass
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "REGISTRY_"


class SettingsError(Exception):
    """The settings cannot be used; the message says what to change."""


def _user() -> str:
    """Who runs the server; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


class Settings(BaseSettings):
    """What the server can be told. Command-line options win over the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    data_dir: Path = Field(Path("var"), description="Where everything is kept that is not kept elsewhere.")
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to listen on.")
    public_url: str | None = Field(None, description="How callers reach this server, when not at host and port.")
    catalog_url: str | None = Field(
        None, description="The Git repository that lists the projects: https:// or ssh://; one of our own if unset."
    )
    git_credentials: Path | None = Field(
        None, description="Who we are to Git hosts: a file with a line https://user:token@host for each."
    )
    ssh_key: Path | None = Field(None, description="The private key for ssh:// repositories; the user's own if unset.")
    ssh_known_hosts: Path | None = Field(None, description="The host keys of ssh:// repositories; the user's if unset.")
    secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="What upload tickets are signed with: the same for every server behind one name.",
    )
    redis_url: str | None = Field(
        None, description="The cache: redis://, rediss:// or unix://; a private one if unset."
    )
    objects_url: str | None = Field(
        None, description="The bucket with the bytes: s3://bucket/prefix?region=…; the data directory if unset."
    )
    objects_multipart_bytes: int = Field(
        64 * 1024**2, ge=0, le=5 * 1024**3, description="Bytes from which an object is sent to the bucket in parts."
    )
    queue_url: str | None = Field(
        None, description="The FIFO queue that hears of every event: sqs://name.fifo?region=…, or its https:// URL."
    )
    sign_in: bool = Field(
        default=False, description="Whether callers have to sign in; they also do once access.yml is there."
    )
    oidc_issuer: str | None = Field(
        None, description="The OpenID Connect issuer whose tokens people sign in with, as they name it: https://…."
    )
    oidc_audience: str | None = Field(None, description="What tokens of that issuer name this registry by.")
    actor_name: str = Field(default_factory=_user, description="Who changes things here while nobody signs in.")
    actor_email: str = Field(default_factory=lambda: f"{_user()}@localhost", description="Their address.")
    hook_secret: SecretStr | None = Field(
        None, min_length=16, description="What webhooks of every Git host are signed with; none are taken if unset."
    )
    strict_pushes: bool = Field(
        default=False, description="Whether a push that leaves a manifest with problems is declined."
    )
    shortcuts: bool = Field(
        default=True, description="Whether queries are compiled and answers kept, which is faster and says the same."
    )
    sync_seconds: float = Field(1.0, gt=0, description="Seconds between two looks at the hosted repositories.")
    remote_seconds: float = Field(
        30.0, gt=0, description="Seconds, a fifth more or less, between two looks at a repository that lies elsewhere."
    )

    @property
    def requires_sign_in(self) -> bool:
        """Whether callers have to sign in from the first moment on."""
        return self.sign_in or self.oidc_issuer is not None

    @property
    def base_url(self) -> str:
        """How callers reach this server, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")


def traces_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables of OpenTelemetry name somebody who collects traces."""
    named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return any(map(environment.get, named)) and environment.get("OTEL_SDK_DISABLED", "").lower() != "true"


def refuse_unknown(environment: Mapping[str, str]) -> None:
    """A misspelt setting must not be ignored. Raises SettingsError with the nearest name."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1, 0)[0]
            raise SettingsError(f"There is no setting {name}. Did you mean {near}?")
