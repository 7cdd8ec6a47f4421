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


def test_a_class_whose_base_is_not_read_is_refused(tmp_path):
    """It would serve nothing, and be left out of every grid without a word."""
    (tmp_path / "two.py").write_text("from collections import Counter\nclass Two(Counter):\n    pass\n")
    (tmp_path / "two.yaml").write_text("class: two.py:Two\n")
    with pytest.raises(ConfigError, match=r"two.yaml: class(.|\n)*base classes are neither in its file nor in gm"):
        read(tmp_path, models=["two.yaml"])


def test_a_class_that_imports_what_is_not_installed_is_refused(tmp_path):
    tried = "try:\n    import nosuch_fast\nexcept ImportError:\n    nosuch_fast = None\n"
    code = tried + "from gm.model import Model\nclass One(Model):\n    family = 'control'\n    serves = ('levels',)\n"
    (tmp_path / "one.py").write_text(code)
    (tmp_path / "one.yaml").write_text("class: one.py:One\n")
    read(tmp_path, models=["one.yaml"])
    (tmp_path / "one.py").write_text("import os.path, nosuch.part\nfrom nosuch2 import thing\n" + code)
    with pytest.raises(ConfigError, match=r"one.yaml: class(.|\n)*imports nosuch, nosuch2: no such package"):
        read(tmp_path, models=["one.yaml"])


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
    with pytest.raises(ConfigError, match="no key is overridden"):
        plan.grid_file([], {"seeds": "[1]"}, "d.yaml")
    with pytest.raises(ConfigError, match="no key is overridden"):
        plan.grid_file(["a.yaml"], {"grid": "b.yaml"}, "d.yaml")
    assert plan.grid_file([], {"grid": "b.yaml"}, "d.yaml").name == "b.yaml"
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


TARGETS = {
    "benchmark": "mine",
    "datasets": ["two-modes", "modes"],
    "models": ["base", "exact", "ais-hmc"],
    "seeds": [0],
    "metrics": ["logz"],
    "budgets": [64],
    "groups": 2,
    "draws": 16,
}


def read_targets(tmp_path, **changes):
    path = tmp_path / "mine.yaml"
    given = {key: value for key, value in {**TARGETS, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(given))
    return plan.read(path)


def test_the_grid_of_targets_is_valid_and_holds_its_controls():
    planned = plan.read(plan.REPOSITORY / "config/sampling.yaml")
    assert {"base", "exact"} <= set(planned.models) and planned.judges == "targets"


def test_every_target_and_sampler_binds_to_its_signatures(tmp_path):
    targets, samplers = (
        [p.stem for p in (plan.REPOSITORY / "config" / f).glob("*.yaml")] for f in ("targets", "samplers")
    )
    assert len(targets) >= 12 and len(samplers) >= 3
    read_targets(tmp_path, datasets=targets, models=samplers)


def test_a_family_has_every_combination_as_a_member(tmp_path):
    (tmp_path / "map.yaml").write_text(
        "target: gm.densities.targets.gaussian.RotatedGaussian\n"
        "parameters: {rotation: 3}\nvary: {dim: [2, 8], condition: [1.0, 1.0e+4]}\n"
    )
    spec = read_targets(tmp_path, datasets=["map.yaml"]).datasets["map"]
    assert list(spec["members"]) == [
        "dim=2,condition=1",
        "dim=2,condition=10000",
        "dim=8,condition=1",
        "dim=8,condition=10000",
    ]
    assert spec["members"]["dim=8,condition=1"] == {"rotation": 3, "dim": 8, "condition": 1.0}
    assert list(read_targets(tmp_path).datasets["two-modes"]["members"]) == [""]


def test_a_sampler_is_matched_with_the_kind_of_the_target(tmp_path):
    planned = read_targets(tmp_path, datasets=["two-modes", "ising-torus"])
    assert ("ising-torus", "ais-hmc", "serves density, not spins targets") in planned.skipped
    assert [run[:2] for run in planned.runs] == [("two-modes", model) for model in TARGETS["models"]]


def test_slices_of_targets_hold_only_what_a_job_depends_on(tmp_path):
    one = read_targets(tmp_path)
    other = read_targets(tmp_path, budgets=[64, 128], metrics=["logz", "ess"], models=["ais-hmc", "base"])
    run = {"dataset": "modes", "model": "ais-hmc", "seed": "0"}
    for stage in ("prepare", "ruler", "train", "sample", "embed"):
        assert one.spec(stage, **run) == other.spec(stage, **run)
    for stage in ("score", "evaluate"):
        assert one.spec(stage, **run) != other.spec(stage, **run)
    assert all(json.loads(one.spec(stage, **run))["grid"] == "targets" for stage in ("prepare", "evaluate", "report"))
    assert one.code("train", **run) != one.code("train", **run | {"model": "base"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets": ["two-modes", "digits"]}, "images alone or targets alone"),
        ({"models": ["ais-hmc", "vae"]}, "'vae', which serves images(.|\n)*legal: +ais-hmc"),
        ({"nets": ["pca"]}, "unknown key 'nets'(.|\n)*legal:.*budgets"),
        ({"budgets": None}, "no key 'budgets'"),
        ({"groups": 1}, "groups"),
        ({"metrics": ["logz", "frechet"]}, r"metrics\.1(.|\n)*a metric of targets(.|\n)*legal: +logz"),
        ({"datasets": ["two-mode"]}, "unknown dataset 'two-mode'(.|\n)*did you mean 'two-modes'"),
        ({"models": ["exat"]}, "did you mean 'exact'"),
    ],
)
def test_mistakes_in_a_grid_of_targets(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_targets(tmp_path, **changes)
    assert "mine.yaml" in str(caught.value)


def test_a_grid_of_images_refuses_samplers_and_their_keys(tmp_path):
    with pytest.raises(ConfigError, match="'ais-hmc', which serves targets"):
        read(tmp_path, models=["vae", "ais-hmc"])
    with pytest.raises(ConfigError, match="unknown key 'budgets'"):
        read(tmp_path, budgets=[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parameters: {dmi: 2}", r"parameters\.dmi(.|\n)*did you mean 'dim'(.|\n)*legal:.*condition"),
        ("parameters: {dim: 2.5}", r"parameters\.dim(.|\n)*a value of type int"),
        ("parameters: {dim: 2}\nvary: {dim: [2]}", r"vary\.dim(.|\n)*one of the two"),
        ("vary: {dim: [2, many]}", r"vary\.dim(.|\n)*a value of type int"),
        ("vary: {dim: 2}", r"vary\.dim(.|\n)*a list of different values"),
        ("vary: {dim: [2, 2]}", "a list of different values"),
        ("parameters: {}", "no key 'dim'"),
        ("paramters: {dim: 2}", "did you mean 'parameters'"),
        ("parameters: {dim: 2}\ndraws: 1", "draws(.|\n)*2 or more"),
        ("parameters: {dim: 2}\nseed: x", "seed(.|\n)*a whole number"),
    ],
)
def test_mistakes_in_a_target(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(f"target: gm.densities.targets.gaussian.RotatedGaussian\n{text}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        read_targets(tmp_path, datasets=["bad.yaml"])
    assert "bad.yaml" in str(caught.value)


def test_mistakes_in_the_class_of_a_target_or_a_sampler(tmp_path):
    (tmp_path / "bad.yaml").write_text("target: gm.densities.targets.gausian.RotatedGaussian\n")
    with pytest.raises(ConfigError, match=r"no module(.|\n)*legal:.*gm\.densities\.targets\.gaussian"):
        read_targets(tmp_path, datasets=["bad.yaml"])
    (tmp_path / "worse.yaml").write_text("class: gm.samplers.annealed.AIS\nscore: {budget: 7}\n")
    with pytest.raises(ConfigError, match=r"score\.budget(.|\n)*unknown key"):
        read_targets(tmp_path, models=["base", "worse.yaml"])
    (tmp_path / "kernel.yaml").write_text("class: gm.samplers.annealed.AIS\nmodel: {kernel: gibbs}\n")
    with pytest.raises(ConfigError, match=r"model\.kernel(.|\n)*mala"):
        read_targets(tmp_path, models=["base", "kernel.yaml"])


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("gaussian.RotatedGaussian\nparameters: {dim: 2}\nvary: {rotation: [1234567, 1234568]}", [1234567, 1234568]),
        ("gaussian.RotatedGaussian\nparameters: {dim: 2}\nvary: {condition: [1.0000001, 1]}", [1.0000001, 1]),
    ],
)
def test_members_that_differ_little_keep_names_of_their_own(tmp_path, text, members):
    (tmp_path / "map.yaml").write_text(f"target: gm.densities.targets.{text}\n")
    found = read_targets(tmp_path, datasets=["map.yaml"]).datasets["map"]["members"]
    assert [name.split("=")[1] for name in found] == [str(value) for value in members]
    assert [next(v for v in given.values() if v in members) for given in found.values()] == members


OWN = """from torch import Tensor

from gm.densities.targets.target import Target


class Flat(Target):
    def __init__(self, *, law: str | int, scale: Tensor | None = None) -> None:
        pass


class Loose:
    def __init__(self, *, law: str | int) -> None:
        pass
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine.py:Flat\nvary: {law: [1, '1']}", r"vary(.|\n)*two members named 'law=1'(.|\n)*written differently"),
        ("mine.py:Flat\nvary: {law: [a/b, c]}", r"vary\.law(.|\n)*'a/b'(.|\n)*without '/'"),
        ("mine.py:Flat\nparameters: {law: a, scale: [1.0]}", r"parameters\.scale(.|\n)*unknown key(.|\n)*legal: +law"),
        (
            "mine.py:Loose\nparameters: {law: a}",
            r"target(.|\n)*mine.py:Loose(.|\n)*inherits from .*\.Target(.|\n)*legal:",
        ),
        ("gm.models.vae.VAE", r"target(.|\n)*VAE(.|\n)*inherits from(.|\n)*legal:.*gm\.densities\.targets\.gaussian"),
        ("gm.densities.targets.tabulated.Tabulated", "target(.|\n)*Tabulated(.|\n)*inherits from(.|\n)*legal:"),
        (
            "gm.densities.targets.target.Target\nparameters: {dim: 2, spread: 1, log_z: null, constant: 0}",
            "target(.|\n)*inherits from(.|\n)*legal:",
        ),
        (
            "gm.densities.targets.mixture.Mixture\nparameters: {weights: [1.0], means: [[0.0]], scales: [1.0]}",
            r"target(.|\n)*'weights' is a Tensor(.|\n)*make the tensor in a subclass(.|\n)*legal:",
        ),
        ("gm.densities.targets.boltzmann.RBM", "is a Tensor"),
        ("gm.densities.targets.linear_gaussian.Posterior\nparameters: {noise: 1.0}", "'weight' is a Tensor"),
        (
            "gm.densities.targets.ising.IsingTorus\nvary: {side: [8, 12]}",
            r"vary(.|\n)*exact draws \(side=8\)(.|\n)*side <= 10 in all members or in none",
        ),
    ],
)
def test_classes_and_members_that_no_target_can_have(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "bad.yaml").write_text(f"target: {text}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        read_targets(tmp_path, datasets=["bad.yaml"])
    assert all(word in str(caught.value) for word in ("bad.yaml", "found:", "expected:"))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("gm.densities.targets.gaussian.RotatedGaussian", "a target(.|\n)*a model or a sampler"),
        ("gm.samplers.anneald.AIS", "no module"),
        ("gm.samplers.annealed.AIX", "no class 'AIX'"),
        ("AIS", "or path/to/file"),
    ],
)
def test_a_class_that_is_no_contestant_is_answered_with_models_and_samplers(tmp_path, reference, message):
    (tmp_path / "bad.yaml").write_text(f"class: {reference}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        read_targets(tmp_path, models=["base", "bad.yaml"])
    assert all(word in str(caught.value) for word in ("bad.yaml: class", "gm.models.vae", "gm.samplers.annealed"))


def test_a_torus_too_large_for_exact_draws_has_no_truth(tmp_path):
    torus = "target: gm.densities.targets.ising.IsingTorus\n"
    for name, text in (("small", torus), ("large", f"{torus}parameters: {{side: 12}}\n")):
        (tmp_path / f"{name}.yaml").write_text(text)
    planned = read_targets(tmp_path, datasets=["small.yaml", "large.yaml"], models=["gibbs"])
    assert [planned.datasets[name]["truth"] for name in ("small", "large")] == [True, False]


def test_a_sampler_of_exact_draws_is_left_out_where_there_are_none(tmp_path):
    planned = read_targets(tmp_path, datasets=["two-modes", "cox"])
    assert planned.skipped == [("cox", "exact", "needs exact draws, and the target has none")]


def test_a_device_belongs_to_fit_draw_and_score_and_the_cpu_goes_unsaid(tmp_path):
    for name, keys in {"here": {"device": "cpu"}, "there": {"device": "gpu", "deterministic": False}}.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"class": "gm.models.vae.VAE", **keys}))
    planned = read(tmp_path, models=["vae", "here.yaml", "there.yaml"])
    assert [planned.gpus("train", model=name) for name in planned.models] == [0, 0, 1]
    assert planned.gpus("embed", model="there") == planned.gpus("prepare") == 0
    for stage in ("train", "sample", "score"):
        slices = {name: planned.slice(stage, dataset="digits", model=name, seed=0) for name in ("here", "there")}
        assert slices["here"] == {"class": "gm.models.vae.VAE"}
        assert slices["there"] == {"class": "gm.models.vae.VAE", "device": "gpu", "deterministic": False}


@pytest.mark.parametrize(
    ("changes", "key", "found"),
    [
        ({"device": "tpu"}, "device", "'tpu' (str)"),
        ({"device": ["gpu"]}, "device", "['gpu']"),
        ({"device": "gpu", "class": "gm.models.rbm.RBM"}, "device", "gm.models.rbm.RBM runs on cpu alone"),
        ({"device": "gpu", "deterministic": "yes"}, "deterministic", "'yes' (str) beside device gpu"),
        ({"deterministic": True}, "deterministic", "True (bool) beside device cpu"),
    ],
)
def test_a_device_that_a_class_does_not_run_on_is_refused(tmp_path, changes, key, found):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"class": "gm.models.vae.VAE", **changes}))
    with pytest.raises(ConfigError) as error:
        read(tmp_path, models=["resample", "own.yaml"])
    assert f"own.yaml: {key}\n" in str(error.value) and found in str(error.value)
