"""A server that speaks S3, on loopback."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1"}
OWN = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN")
"""What may be set for the person's own buckets."""


@contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """The address of one that has this bucket. The environment must have KEYS; skips where it is not installed."""
    server_module = pytest.importorskip("moto.server", reason="pip install 'moto[s3]' flask-cors")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        with urllib.request.urlopen(f"{address}/moto-api/reset", data=b""):
            pass  # what an earlier server of this process was given
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket=bucket)
        yield address
    finally:
        server.stop()
