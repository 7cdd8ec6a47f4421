"""A grid whose files live in a bucket of a local S3 server, not in a folder that jobs share.

Needs the extra `s3`, some 100 MB in an environment of their own: `make test-storage`.
"""

import hashlib
import subprocess
import sys

import pytest
from test_workflow import copy, environment, gm

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

GRID = """
benchmark: small
datasets: [digits]
models: [mixture]
seeds: [0]
metrics: [likelihood, frechet]
nets: [pca, random]
"""
KEYS = {"ACCESS_KEY": "someone", "SECRET_KEY": "something"}
COVERED = (".npz", ".safetensors", ".csv", ".svg", ".pdf", ".png", ".html")


@pytest.fixture
def bucket():
    """An empty bucket, and what a process needs to find it."""
    pytest.importorskip("snakemake_storage_plugin_s3")
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        keys = {"aws_access_key_id": KEYS["ACCESS_KEY"], "aws_secret_access_key": KEYS["SECRET_KEY"]}
        found = boto3.resource("s3", endpoint_url=url, region_name="us-east-1", **keys).create_bucket(Bucket="bench")
        yield found, {f"SNAKEMAKE_STORAGE_S3_{name}": value for name, value in (KEYS | {"ENDPOINT_URL": url}).items()}
    finally:
        server.stop()


def test_a_grid_in_a_bucket_has_the_bytes_of_a_grid_in_a_folder(bucket, tmp_path):
    bucket, access = bucket
    local, remote = (copy(tmp_path / name) for name in ("local", "remote"))
    for folder in (local, remote):
        (folder / "mine/small.yaml").write_text(GRID)
    made = gm(local, "run", "mine/small.yaml", "--cores", "2", "--", "all", "paper")
    assert made.returncode == 0, made.stdout + made.stderr
    command = [sys.executable, "-m", "snakemake", "--configfile", "mine/small.yaml", "--cores", "2"]
    command += ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://bench", "--", "all", "paper"]
    done = subprocess.run(
        command, cwd=remote, env=environment(remote) | access, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    expected = {
        str(path.relative_to(local)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in local.glob("results/small/**/*")
        if path.suffix in COVERED and path.name != "cost.csv" and not path.match("figures/cost/*")
    }
    found = {
        item.key: hashlib.sha256(item.get()["Body"].read()).hexdigest()
        for item in bucket.objects.all()
        if item.key in expected
    }
    assert {"results/small/report/index.html", "results/small/paper.pdf"} <= set(found) and found == expected
