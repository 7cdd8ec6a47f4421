"""A synthetic results tree whose truth is known: what the report must say of it is written here."""

import math
from pathlib import Path

import numpy as np

from gm import io
from gm.commands import figures
from gm.metrics.groups.outliers import baselines
from gm.metrics.roc import auroc
from gm.metrics.rows import evaluate
from gm.metrics.run import Run

ATTACKS = ("nearest", "domias")
# How far apart an attack puts the scores of members and non-members, in standard deviations.
LEAK = {"memoriser": 3.0, "vae": 0.8}
# Accuracy of a classifier trained on synthetic images, and what adding as many to the real ones gains.
USE = {"memoriser": (0.78, 0.0), "flow": (0.7, 0.02), "ebm": (0.72, 0.03), "vae": (0.6, -0.02)}
# By model: family, log density offset in nats (None: no density), kinds of the ends, gap between the ends, spread of
# features (1 is right), whether it replays training images.
MODELS = {
    "resample": ("control", None, ("none", "none"), 0.0, 1.0),
    "memoriser": ("control", None, ("none", "none"), 0.0, 1.0),
    "ppca": ("control", -12.0, ("exact", "exact"), 0.0, 1.5),
    "mixture": ("control", -8.0, ("exact", "exact"), 0.0, 1.4),
    "copula": ("control", 0.0, ("exact", "exact"), 0.0, 1.35),
    "flow": ("kl", 9.0, ("exact", "exact"), 0.0, 1.15),
    "maxent-random": ("maxent", 3.0, ("heuristic", "certified"), 0.4, 1.3),
    "maxent-learned": ("maxent", 5.0, ("heuristic", "certified"), 0.4, 1.2),
    "ebm": ("kl", 7.0, ("heuristic", "certified"), 0.6, 1.15),
    "vae": ("vae", -7.8, ("certified", "none"), 0.0, 1.3),
}
TRUTH = {
    ("flow", "copula"): "wins",
    ("maxent-learned", "copula"): "wins",
    ("vae", "mixture"): "not distinguishable",
    ("ppca", "copula"): "loses",
}
FAILED = ("digits", "ebm", 1)
FEW = ("resample", "memoriser", "copula", "flow", "vae")


def specification(datasets: list[str], seeds: list[int]) -> dict:
    """The spec that the report is given."""
    return {
        "benchmark": "synthetic",
        "models": {
            name: {
                "family": about[0],
                "labels": name == "maxent-learned",
                "measure": "mass" if name in ("mixture", "vae") else "density",
            }
            for name, about in MODELS.items()
        },
        "datasets": datasets,
        "seeds": seeds,
        "planned": [[d, m, s] for d in datasets for m in MODELS for s in seeds if (d, m) != (datasets[-1], "ppca")],
        "skipped": [[datasets[-1], "ppca", "ppca serves levels, this dataset is binary"]],
        "compare": [list(pair) for pair in TRUTH],
        "ladder": ["copula", "maxent-random", "maxent-learned", "ebm"],
        "metrics": ["likelihood", "frechet", "kernel", "prdc", "outliers", "memorisation"],
        "nets": ["cnn", "pca", "random"],
        "commit": "0123456789ab",
    }


def finished(root: Path, seeds=(0, 1), models=FEW, confidential=False, renamed=()) -> Path:
    """A synthetic benchmark with its report and the record of it, as a run leaves them; `renamed` is name -> name."""
    spec = specification(["digits"], list(seeds)) | {"nets": ["pca"]}
    spec["planned"] = [cell for cell in spec["planned"] if cell[1] in models]
    spec["models"] = {name: about for name, about in spec["models"].items() if name in models}
    spec["compare"], spec["ladder"] = [], ["copula"]
    write_tree(root, spec)
    if confidential:
        data = io.read_arrays(root / "digits/data.npz")
        io.write_arrays(root / "digits/data.npz", data | {"confidential": np.array(True)})
    names = dict(renamed)
    for name in names:
        (root / "digits" / name).rename(root / "digits" / names[name])
    spec["planned"] = [[dataset, names.get(model, model), seed] for dataset, model, seed in spec["planned"]]
    spec["models"] = [{"name": names.get(name, name)} | about for name, about in spec["models"].items()]
    commit = spec.pop("commit")
    record = {"spec": spec, "commit": commit, "versions": {"python": "3"}, "status": "ok", "reason": ""}
    io.write_json(root / "table.json", record)
    figures.make(root)
    return root


def images(n: int, rng: np.random.Generator) -> np.ndarray:
    """Blurred strokes on 8 x 8 pixels, integers 0..16."""
    rows, columns = np.mgrid[0:8, 0:8]
    angle, shift, bend = (
        rng.uniform(0, math.pi, (n, 1, 1)),
        rng.normal(0, 1, (n, 1, 1)),
        rng.normal(0, 0.1, (n, 1, 1)),
    )
    u = (rows - 3.5) * np.cos(angle) + (columns - 3.5) * np.sin(angle) - shift
    v = (columns - 3.5) * np.cos(angle) - (rows - 3.5) * np.sin(angle)
    ink = 16 * np.exp(-((u + bend * v**2) ** 2) / 1.2) + rng.normal(0, 1, (n, 8, 8))
    return np.clip(ink.round(), 0, 16).astype(np.uint8)[:, None]


def write_tree(root: Path, spec: dict, n: int = 60) -> None:
    """Write everything that a report reads."""
    for d, dataset in enumerate(spec["datasets"]):
        rng = np.random.default_rng(d)
        data = {f"x_{split}": images(n, rng) for split in ("valid", "test", "fresh")} | {"x_train": images(4 * n, rng)}
        data |= {f"x_{part}": images(n, rng) for part in ("member", "nonmember")}
        data["label_test"] = np.arange(n) % 3
        data["x_outlier_mnist"] = np.roll(images(n, rng), 2, axis=2) // 2
        data["x_outlier_noise"] = rng.integers(0, 17, (n, 1, 8, 8)).astype(np.uint8)
        data["x_outlier_flip"] = data["x_test"][..., ::-1].copy()
        data["x_outlier_constant"] = np.full((n, 1, 8, 8), rng.integers(0, 17, (n, 1, 1, 1)), np.uint8)
        ruler = {f"{net}_test": rng.normal(size=(n, 12)) for net in spec["nets"]}
        fresh = {net: rng.normal(size=(n, 12)) for net in spec["nets"]}
        noise = rng.normal(0, 6, n)
        io.write_arrays(root / dataset / "data.npz", data | {"levels": np.int64(17)})
        io.write_arrays(root / dataset / "ruler/features.npz", ruler)
        scores = baselines(data)
        trivial = {f"{name}/{part}": score for name, parts in scores.items() for part, score in parts.items()}
        io.write_arrays(root / dataset / "ruler/trivial.npz", trivial)
        facts = {"cnn_accuracy": [0.96, 0.012, n]}
        io.write_json(root / dataset / "ruler/features.json", record("ruler", 2.0) | {"facts": facts})
        for _, model, seed in (cell for cell in spec["planned"] if cell[0] == dataset):
            write_run(root, (dataset, model, seed), spec, data, ruler, fresh, noise)


def record(stage: str, seconds: float, status: str = "ok", reason: str = "", **evals: int) -> dict:
    """The record beside an artefact."""
    return {
        "stage": stage, "status": status, "reason": reason, "seconds": seconds, "peak_mb": 300.0, "device": "cpu",
        "evals": evals,
    }  # fmt: skip


def write_run(root: Path, cell: tuple, spec: dict, data: dict, ruler: dict, fresh: dict, noise: np.ndarray) -> None:
    """Write one run."""
    dataset, model, seed = cell
    family, offset, kinds, gap, spread = MODELS[model]
    rng = np.random.default_rng([spec["datasets"].index(dataset), list(MODELS).index(model), seed])
    folder, n = root / dataset / model / str(seed), len(data["x_test"])
    fails = (dataset, model, seed) == FAILED
    failure = ("diverged", "log weights left the finite numbers at step 312 of 1000") if fails else ("ok", "")
    scores, samples, features = {"kinds": np.array(["none", "none"])}, np.zeros((0, 0, 0, 0), np.uint8), {}
    if not fails:
        real = {"resample": data["x_fresh"], "memoriser": data["x_train"][:n]}
        samples = rng.permutation(real.get(model, images(n, rng)))
        features = {net: spread * rng.normal(size=(n, 12)) for net in spec["nets"]}
        if model == "resample":
            features = {net: rng.permutation(fresh[net]) for net in spec["nets"]}
        scores = bounds(data, offset, kinds, gap, noise, rng)
    iterative = family != "control" and not fails
    counts = {"gradient": 40_000 * (len(model) + seed)} if iterative else {}
    stages = {
        "model": record("train", 10.0 + seed, *failure, **counts),
        "samples": record("sample", 1.0, *failure),
        "scores": record("score", 5.0, *failure, **({"density": 9000} if iterative else {})),
        "features": record("embed", 0.5, *failure),
        "metrics": record("evaluate", 0.8, *failure),
    }
    for name, content in stages.items():
        io.write_json(folder / f"{name}.json", content)
    io.write_arrays(folder / "samples.npz", {"x": samples})
    io.write_arrays(folder / "scores.npz", scores)
    steps = np.linspace(0, 1000, 40)
    history = [
        {
            "step": int(t),
            "loss": 90 * math.exp(-t / 200) + rng.normal(),
            "acceptance": 0.57 + 0.02 * rng.normal(),
        }
        for t in steps
    ]
    io.write_rows(folder / "history.csv", ["step", "acceptance", "loss"], history if iterative else [])
    rows = [{"metric": "run", "value": int(not fails), "n": 1, "kind": "count"}]
    items: dict[str, np.ndarray] = {}
    if not fails:
        whole = Run(data, ruler, {"x": samples}, scores, features, nets=spec["nets"], items=items)
        rows += evaluate(whole, metrics=spec["metrics"], rng=rng)
        rows += membership(model, items, np.random.default_rng([spec["datasets"].index(dataset), len(model), seed]))
        rows += use(model, np.random.default_rng(seed))
    for name, stage in (("train", "model"), ("score", "scores")):
        for kind, count in stages[stage]["evals"].items():
            rows.append({"metric": f"evals/{name}/{kind}", "value": count, "n": 1, "kind": "count"})
    io.write_arrays(folder / "items.npz", items)
    columns = ("metric", "value", "se", "n", "kind", "status")
    io.write_rows(folder / "metrics.csv", columns, ({"status": failure[0]} | row for row in rows))


def membership(model: str, items: dict, rng: np.random.Generator, n: int = 100) -> list[dict]:
    """Scores of candidates by every attack, and their rows."""
    rows = []
    for attack in ATTACKS:
        shift = LEAK.get(model, 0.0)
        member, nonmember = rng.normal(shift, 1, n), rng.normal(0, 1, n)
        items |= {f"attack/{attack}/member": member, f"attack/{attack}/nonmember": nonmember}
        area, error = auroc(nonmember, member)
        found = float((member > np.sort(nonmember)[-2]).mean())
        rows += [
            {"metric": f"mia_auc/{attack}", "value": area, "se": error, "n": 2 * n, "kind": "estimate"},
            {"metric": f"mia_tpr@1%/{attack}", "value": found, "se": 0.02, "n": 2 * n, "kind": "estimate"},
            {"metric": f"mia_eps/{attack}", "value": 0.6 * shift, "n": n, "kind": "certified"},
        ]
    if model == "vae":
        rows.append({"metric": "fit/epsilon", "value": 3.0, "n": 1, "kind": "certified"})
    return rows


def use(model: str, rng: np.random.Generator, n: int = 60) -> list[dict]:
    """Accuracies of two classifiers with real and with added images; those without synthetic ones are every model's."""
    synthetic, gain = USE.get(model, (None, 0.0))
    rows = []
    for classifier, best in (("logistic", 0.8), ("forest", 0.85)):
        found = {"trtr": best}
        for ratio in (1, 5):
            found |= {f"classical={ratio}": best + 0.01, f"fresh={ratio}": best + 0.02 * ratio}
        found = {regime: value + 0.01 * rng.normal() for regime, value in found.items()}
        if synthetic is not None:
            found |= {f"synthetic={ratio}": found["trtr"] + gain + 0.004 * rng.normal() for ratio in (1, 5)}
            found["tstr"] = synthetic + 0.01 * rng.normal()
        rows += [{"metric": f"accuracy/{classifier}/{regime}", "value": value, "se": 0.03, "n": n, "kind": "estimate"}
                 for regime, value in found.items()]  # fmt: skip
        rows += [{"metric": f"gain/{classifier}/{regime}/trtr", "value": value - found["trtr"], "se": 0.002, "n": n,
                  "kind": "estimate"} for regime, value in found.items() if regime.startswith("synthetic")]  # fmt: skip
    return rows


def bounds(data: dict, offset: float | None, kinds: tuple, gap: float, noise: np.ndarray, rng) -> dict:
    """Bounds whose mean advantage over the copula is `offset`, hard images being hard for all models."""
    if offset is None:
        return {"kinds": np.array(kinds)}
    shift = offset + (0.3 * rng.normal() if kinds != ("exact", "exact") else 0.0)
    out = {"kinds": np.array(kinds), "shared": np.zeros(2), "shared_se": np.float64(0.1 if gap else 0.0)}
    out |= {"slack": np.float64(math.log(100) if kinds[0] == "certified" else 0.0), "alpha": np.float64(0.01)}
    out["note"] = np.array("reverse chains start at the model's own samples" if gap else "")
    parts = {
        "test": 0.0,
        "outlier_noise": -200.0,
        "outlier_flip": -4.0,
        "outlier_constant": -30.0,
        "outlier_mnist": 3.0,
    }
    for part, lower in parts.items():
        n = len(data[f"x_{part}"])
        value = -120 + shift + lower + noise[:n] + rng.normal(0, 2, n)
        out[f"lower_{part}"] = value - gap
        out[f"upper_{part}"] = value + gap if kinds[1] != "none" else np.full(n, np.inf)
        out[f"score_nll_{part}"] = -out[f"lower_{part}"]
    return out
