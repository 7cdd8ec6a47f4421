"""The grid's feature networks: what a ruler depends on, and a file of one's own that is checked before any job."""

import hashlib
import json

import pytest
import yaml

from gm import plan
from gm.config import ConfigError

GRID = {"benchmark": "mine", "datasets": ["digits"], "models": ["resample"], "seeds": [0], "metrics": ["frechet"]}
RUN = {"dataset": "digits", "model": "resample", "seed": "0"}
SHA256 = hashlib.sha256(b"weights").hexdigest()


def read(tmp_path, **changes):
    (tmp_path / "net.pt").write_bytes(b"weights")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**GRID, **changes}))
    return plan.read(path)


def test_the_nets_are_what_ruler_and_embed_depend_on(tmp_path):
    one, other = read(tmp_path, nets=["pca"]), read(tmp_path, nets=["pca", "lite0"])
    changed = {stage for stage in ("train", "sample", "score", "ruler", "embed", "evaluate")
               if one.spec(stage, **RUN) != other.spec(stage, **RUN)}  # fmt: skip
    assert changed == {"ruler", "embed", "evaluate"}
    assert set(json.loads(one.spec("ruler", **RUN))) == {"seed", "nets"}


def test_a_network_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    planned = read(tmp_path, nets=["inception"], inception={"file": "net.pt", "sha256": SHA256})
    expected = {"nets": ["inception"], "inception": {"file": f"{tmp_path.name}/net.pt", "sha256": SHA256}}
    assert json.loads(planned.spec("embed", **RUN)) == expected
    assert json.loads(planned.spec("ruler", **RUN)).items() >= expected.items()
    assert "inception" not in json.loads(planned.spec("report", **RUN))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nets": ["inception"]}, "no key 'inception'"),
        ({"nets": ["pca"], "inception": {"file": "net.pt", "sha256": SHA256}}, "a net that 'nets' does not name"),
        ({"nets": ["inception"], "inception": {"file": "gone.pt", "sha256": SHA256}}, r"inception\.file(.|\n)*no file"),
        ({"nets": ["inception"], "inception": {"file": "net.pt", "sha256": "0" * 64}}, f"has {SHA256}(.|\n)*0000"),
        ({"nets": ["inception"], "inception": {"file": "net.pt"}}, "sha256"),
        ({"nets": ["inception"], "inception": {"file": "net.pt", "sha256": "abc"}}, r"inception\.sha256"),
        ({"nets": ["lite"]}, "did you mean 'lite0'(.|\n)*legal:.*inception"),
    ],
)
def test_mistakes(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, **changes)
