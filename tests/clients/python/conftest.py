"""A database of its own for each test. The server is running: ORION_URL says where (see ../run)."""

import json
import os
import urllib.request
import uuid

import libsql
import pytest


@pytest.fixture
def url():
    """The URL of a new, empty database."""
    server = os.environ.get("ORION_URL", "").rstrip("/")
    assert server, "ORION_URL is not set: start these tests with tests/clients/run"
    name = f"py-{uuid.uuid4()}"
    request = urllib.request.Request(
        f"{server}/_orion/v1/databases",
        data=json.dumps({"name": name}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as reply:
        assert reply.status in (200, 201)
    return f"{server}/{name}/"


@pytest.fixture
def connection(url):
    """A connection to it."""
    connection = libsql.connect(url)
    yield connection
    connection.close()
