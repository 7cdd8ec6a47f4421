"""A grid file becomes runs; a job depends on its own slice of the configuration and nothing else."""

import copy
import json

import pytest
import yaml

from gm import config, plan
from gm.config import ConfigError

GRID = {
    "benchmark": "mine",
    "datasets": ["digits", "digits-binary"],
    "models": ["resample", "mixture", "vae"],
    "seeds": [0, 1],
    "metrics": ["likelihood"],
    "nets": ["pca"],
}


def read(tmp_path, name="mine", **changes):
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**GRID, **changes}))
    return plan.read(path)


def test_default_grid_is_valid():
    planned = plan.read(plan.REPOSITORY / "config/digits.yaml")
    controls = {"resample", "memoriser", "ppca", "mixture", "copula"}
    assert controls <= {model for dataset, model, _ in planned.runs if dataset == "digits"}
    reasons = {(dataset, model): reason for dataset, model, reason in planned.skipped}
    assert reasons["digits", "rbm"] == "serves binary, not levels images"


def test_every_yaml_binds_to_its_signatures(tmp_path):
    models = [path.stem for path in (plan.REPOSITORY / "config/models").glob("*.yaml")]
    datasets = [path.stem for path in (plan.REPOSITORY / "config/datasets").glob("*.yaml")]
    assert len(models) >= 5 and len(datasets) >= 3
    read(tmp_path, models=models, datasets=datasets)


def test_slices_hold_only_what_a_job_depends_on(tmp_path):
    one, other = read(tmp_path), read(tmp_path, metrics=["likelihood", "outliers"], models=["vae", "resample"])
    run = {"dataset": "digits", "model": "vae", "seed": "0"}
    for stage in ("prepare", "train", "sample", "score"):
        assert one.spec(stage, **run) == other.spec(stage, **run)
    assert one.spec("evaluate", **run) != other.spec("evaluate", **run)
    assert set(json.loads(one.spec("train", **run))) <= {"class", "model", "fit"}
    assert set(json.loads(one.spec("sample", **run))) <= {"class", "sample"}


def test_order_of_yaml_keys_does_not_matter(tmp_path):
    text = yaml.safe_dump(dict(reversed(GRID.items())), sort_keys=False)
    (tmp_path / "mine.yaml").write_text(text)
    turned = plan.read(tmp_path / "mine.yaml")
    assert turned.spec("report") == read(tmp_path).spec("report")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": [1]}, "sedes(.|\n)*did you mean 'seeds'"),
        ({"seeds": ["a"]}, r"seeds\.0(.|\n)*'a' \(str\)(.|\n)*whole number"),
        ({"seeds": []}, "seeds"),
        ({"models": ["vea"]}, "unknown model 'vea'(.|\n)*did you mean 'vae'"),
        ({"datasets": ["digit"]}, "unknown dataset 'digit'(.|\n)*did you mean 'digits'"),
        ({"metrics": ["frechett"]}, "did you mean 'frechet'(.|\n)*legal:"),
        ({"models": ["gone.yaml"]}, "no file"),
        ({"compare": [["vae", "flow"]]}, "'flow'(.|\n)*legal:"),
        ({"only": {"digits": ["flow"]}}, r"only\.digits"),
        ({"models": ["copula", "vae"], "compare": [["vae", "copula"]]}, "two densities or two masses"),
        ({"benchmark": "other"}, "'mine', as the file is named"),
    ],
)
def test_mistakes_in_the_grid(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, **changes)
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class: gm.models.vae.VEA", "no class 'VEA'(.|\n)*VAE"),
        ("class: gm.models.gone.VAE", "no module(.|\n)*legal:(.|\n)*gm.models.vae"),
        ("class: gm.models.vae.VAE\nmodle: {}", "did you mean 'model'"),
        ("class: gm.models.vae.VAE\nmodel: {latnet: 3}", "did you mean 'latent'"),
        ("class: gm.models.vae.VAE\nmodel: {latent: many}", r"model\.latent(.|\n)*int"),
        ("class: gm.models.vae.VAE\nmodel: 3", "a mapping of parameters"),
        ("class: gone.py:Mine", "no file"),
        ("class: 3", "gm.models.vae.VAE or"),
        ("model: {}", "no key 'class'"),
        ("external: {samples: gone.npz}", "no key 'datasets'"),
        ("external: {samples: gone.npz, datasets: [digits]}", "no file .*gone.npz"),
    ],
)
def test_mistakes_in_a_model(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, models=["resample", "bad.yaml"])


def test_several_config_files_and_overrides_are_refused():
    with pytest.raises(ConfigError, match="never merged"):
        plan.grid_file(["a.yaml", "b.yaml"], {}, "d.yaml")
    with pytest.raises(ConfigError, match="no overrides"):
        plan.grid_file([], {"seeds": "[1]"}, "d.yaml")
    assert plan.grid_file([], {}, "d.yaml").name == "d.yaml"


def test_external_contestant_without_seed_runs_once(tmp_path):
    (tmp_path / "s.npz").write_bytes(b"")
    (tmp_path / "ext.yaml").write_text("external: {samples: s.npz, datasets: [digits]}")
    planned = read(tmp_path, models=["resample", "ext.yaml"])
    assert [run for run in planned.runs if run[1] == "ext"] == [("digits", "ext", 0)]
    assert ("digits-binary", "ext", "the external contestant has nothing for it") in planned.skipped


def test_a_model_file_of_ones_own(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from gm.model import Model\n\n\nclass Flat(Model):\n    def sample(self, n, *, generator):\n        return n\n"
    )
    (tmp_path / "flat.yaml").write_text("class: mine.py:Flat\n")
    planned = read(tmp_path, models=["resample", "flat.yaml"])
    assert planned.models["flat"].spec["class"].endswith("mine.py:Flat")
    assert planned.code("train", dataset="digits", model="flat", seed="0")


def test_reading_does_not_change_what_was_read(tmp_path):
    before = copy.deepcopy(config.read(plan.REPOSITORY / "config/digits.yaml"))
    plan.read(plan.REPOSITORY / "config/digits.yaml")
    assert config.read(plan.REPOSITORY / "config/digits.yaml") == before
