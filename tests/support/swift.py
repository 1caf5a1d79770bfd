"""OpenStack Swift in processes of its own, speaking S3: a store nobody here wrote, that checks what it is sent."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.server import free_port

BUCKET = "bytes"
REGION = "eu-west-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test:registry",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "AWS_EC2_METADATA_DISABLED": "true",
}
STARTING_SECONDS = 30
DEFAULT = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
devices = {folder}/node
mount_check = false
workers = 0
log_level = ERROR
"""
STORAGE = """[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
PROXY = """[pipeline:main]
pipeline = catch_errors listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
location = eu-west-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_registry = s3cret .admin
"""
FILTERS = ("catch_errors", "listing_formats", "copy", "slo", "dlo")


def lacking(folder: Path) -> str | None:
    """Why Swift cannot run with its files in `folder`; None when it can."""
    if not _tool("swift-proxy-server").exists():
        return "Swift is not installed: it runs on Linux only"
    try:
        os.setxattr(folder, "user.swift", b"1")
    except OSError:
        return f"Swift needs extended attributes, which the file system of {folder} has not"
    return None


@contextmanager
def swift(folder: Path) -> Iterator[str]:
    """The setting that names a bucket in a Swift under `folder`, for the time of a block."""
    (folder / "node" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = x\n[storage-policy:0]\nname = only\ndefault = yes\n"
    )
    port = free_port()
    filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in FILTERS)
    started = [_storage(folder, kind) for kind in ("account", "container", "object")]
    started.append(_start(folder, "proxy", port, PROXY + filters))
    try:
        _await(port)
        yield f"s3://{BUCKET}/some/prefix?region={REGION}&endpoint=http://127.0.0.1:{port}"
    finally:
        for process in started:
            process.kill()
            process.wait(10)


def _storage(folder: Path, kind: str) -> subprocess.Popen[bytes]:
    """A server of one kind, and the ring of one disk that leads to it."""
    port, builder = free_port(), folder / f"{kind}.builder"
    for words in (["create", "1", "1", "0"], ["add", f"r1z1-127.0.0.1:{port}/disk", "1"], ["rebalance"]):
        command = [sys.executable, _tool("swift-ring-builder"), builder, *words]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=words != ["rebalance"])
    return _start(folder, kind, port, STORAGE.format(kind=kind))


def _start(folder: Path, kind: str, port: int, settings: str) -> subprocess.Popen[bytes]:
    user = subprocess.run(["id", "-un"], capture_output=True, check=True, text=True).stdout.strip()
    path = folder / f"{kind}-server.conf"
    path.write_text(DEFAULT.format(port=port, user=user, folder=folder) + settings)
    command = [sys.executable, "-W", "ignore", _tool(f"swift-{kind}-server"), path]
    with (folder / f"{kind}.log").open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "PYTHONWARNINGS": ""})


def _tool(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _await(port: int) -> None:
    """Until the bucket is made."""
    client = boto3.client(
        "s3",
        REGION,
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )
    deadline = time.monotonic() + STARTING_SECONDS
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
        except (BotoCoreError, ClientError):
            assert time.monotonic() < deadline, "Swift did not start"
            time.sleep(0.1)
        else:
            return
