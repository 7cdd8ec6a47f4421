"""The report of a grid of targets on a synthetic tree whose truth is known: what it says, and that it says it alike."""

import csv
import hashlib
import math
import re

import numpy as np
import pytest

from gm import io
from gm.figures.captions import TARGETS
from gm.metrics import draws
from gm.stages.sampling.evaluate import COLUMNS, draw_rows, log_z_rows
from gm.stages.sampling.report import report

GROUPS, DRAWS, BUDGETS, LOG_Z = 8, 32, [1000, 8000], 2.5
FAILED = ("modes", "chain", 1)
# By sampler: family, kinds of the ends, bias in nats, relative error, inflation of its draws.
SAMPLERS = {
    "base": ("control", ("certified", "heuristic"), 0.0, 6.0, 1.5),
    "exact": ("control", ("certified", "certified"), 0.0, 1.0, 1.0),
    "annealed": ("annealed", ("certified", "heuristic"), 0.0, 2.0, 1.0),
    "annealed-hmc": ("annealed", ("certified", "heuristic"), 0.0, 1.0, 1.0),
    "chain": ("chains", ("none", "heuristic"), 0.5, 1.0, 1.3),
    "boaster": ("tempered", ("certified", "certified"), 0.5, 1.0, 1.0),
}
# The workflow passes JSON with sorted keys: members and parameters come in the order of strings.
MEMBERS = {f"dim={d},condition={c}": {"dim": d, "condition": c} for d in (2, 32, 8) for c in (1, 100)}
TARGETS_OF = {"modes": [""], "dark": [""], "dark-twin": [""], "boxes": list(MEMBERS)}


def specification():
    families = {name: {"vary": {}, "members": {"": {}}} for name in TARGETS_OF}
    families["boxes"] = {"vary": {"condition": [1, 100], "dim": [2, 8, 32]}, "members": MEMBERS}
    return {
        "benchmark": "synthetic",
        "datasets": list(TARGETS_OF),
        "models": {name: {"name": name, "family": about[0]} for name, about in SAMPLERS.items()},
        "families": families,
        "seeds": [0, 1],
        "budgets": BUDGETS,
        "groups": GROUPS,
        "draws": DRAWS,
        "planned": [[d, m, s] for d in TARGETS_OF for m in SAMPLERS for s in (0, 1) if (d, m) != ("dark", "exact")],
        "skipped": [["dark", "exact", "no exact draws of this target"]],
        "commit": "0123456789ab",
    }


def named(arrays, member):
    return {f"{name}/{member}" if member else name: array for name, array in arrays.items()}


def truths(dataset, member, rng):
    """The data and the ruler of one target: a normal law, or two of them."""
    dim = MEMBERS[member]["dim"] if member else 2
    data = {"dim": np.int64(dim), "constant": np.float64(1.5), "identity": np.array("0")}
    if dataset == "dark":
        return data, {}
    data |= {"log_z": np.float64(LOG_Z)}
    if dataset == "modes":
        data |= {"mode_weights": np.array([0.6, 0.4])}
    data["x"] = rng.normal(size=(400, dim)).astype(np.float32)
    return data, draws.null(data["x"], (rng.normal(size=(DRAWS, dim)) for _ in range(60)), rng=rng)


def estimates(sampler, dim, budget, rng):
    """Intervals of half width twice their error."""
    _, kinds, bias, scale, _ = SAMPLERS[sampler]
    error = scale * math.sqrt(dim / budget)
    point = LOG_Z + bias + error * rng.normal(size=GROUPS)
    lower = point - 2 * error if kinds[0] != "none" else np.full(GROUPS, -np.inf)
    arrays = {"lower": lower - 2 * error, "upper": point + 2 * error + (2 * error if sampler == "exact" else 0)}
    arrays |= {"point": point, "se": np.full(GROUPS, error), "ess": np.ones(GROUPS), "alpha": np.full(GROUPS, 0.05)}
    arrays |= {"evals": np.full(GROUPS, budget), "kinds": np.array([kinds] * GROUPS), "note": np.array("a <note>")}
    return {f"{name}/{budget}": array for name, array in arrays.items()}


def write(root, spec):
    record = {"status": "ok", "reason": "", "seconds": 1.0, "peak_mb": 300.0, "device": "cpu", "evals": {}}
    for number, dataset in enumerate(spec["datasets"]):
        rng = np.random.default_rng(number)
        found = {member: truths(dataset, member, rng) for member in TARGETS_OF[dataset]}
        for place, name in enumerate(("data", "ruler/features")):
            arrays = {k: v for member, pair in found.items() for k, v in named(pair[place], member).items()}
            io.write_arrays(root / dataset / f"{name}.npz", arrays)
        for _, model, seed in (cell for cell in spec["planned"] if cell[0] == dataset):
            folder = root / dataset / model / str(seed)
            rng = np.random.default_rng([number, list(SAMPLERS).index(model), seed])
            fails = (dataset, model, seed) == FAILED
            rows, scores = [{"metric": "run", "value": int(not fails), "n": 1, "kind": "count"}], {}
            for member, (data, ruler) in found.items() if not fails else ():
                dim = int(data["dim"])
                own = {k: v for budget in BUDGETS for k, v in estimates(model, dim, budget, rng).items()}
                scores |= named(own, member)
                drawn = {"x": SAMPLERS[model][4] * rng.normal(size=(GROUPS, DRAWS, dim)), "evals": np.int64(800)}
                drawn["evals"] = np.int64(0 if model == "exact" else 80_000)
                seen = {"label": rng.binomial(1, 0.4, (GROUPS, DRAWS))} if "mode_weights" in data else {}
                wanted = ("moments", "ess", "modes", "discrepancy")
                mine = draw_rows(data, ruler, drawn, seen, wanted=wanted) + log_z_rows(own, data)
                for stage, count in (("train", 500 * (model != "base")), ("sample", int(drawn["evals"]))):
                    mine.append({"metric": f"evals/{stage}/gradient", "value": count, "n": 1, "kind": "count"})
                rows += [row | {"metric": f"{row['metric']}/{member}" if member else row["metric"]} for row in mine]
            failure = {"status": "diverged", "reason": "the pilot left the finite numbers"} if fails else {}
            for name, stage in (("model", "train"), ("scores", "score"), ("metrics", "evaluate")):
                io.write_json(folder / f"{name}.json", record | failure | {"stage": stage})
            io.write_arrays(folder / "scores.npz", scores)
            status = {"status": failure.get("status", "ok")}
            io.write_rows(folder / "metrics.csv", COLUMNS, (status | row for row in rows))


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root, spec = tmp_path_factory.mktemp("results") / "synthetic", specification()
    write(root, spec)
    report(root, spec)
    return root, spec


def pooled(root, **wanted):
    return [row for row in rows(root / "pooled.csv") if all(row[name] == value for name, value in wanted.items())]


def test_every_file_is_there(tree):
    root, _ = tree
    for name in ("table", "summary", "pooled", "scaling", "paired", "checks", "status", "cost"):
        assert rows(root / f"{name}.csv"), name
    for kind in ("svg", "pdf", "png"):
        found = {str(p.relative_to(root / "figures").with_suffix("")) for p in (root / "figures").rglob(f"*.{kind}")}
        whole = {f"{name}/all" for name in ("coverage", "overview", "honesty", "efficiency", "evals")}
        single = {f"{name}/{d}" for name in ("logz", "draws") for d in ("modes", "dark", "dark-twin")}
        assert found == whole | single - {"draws/dark"} | {"difficulty/boxes"}
    assert {path.name for path in (root / "figures").iterdir()} == set(TARGETS)


def test_errors_are_those_put_in(tree):
    """Each root mean square error lies within a factor of its law; false alarm below 1e-4 a sampler (chi-square)."""
    root, _ = tree
    for name in ("annealed", "annealed-hmc"):
        (row,) = pooled(root, dataset="dark-twin", model=name, quantity="rmse", budget="8000")
        truth = SAMPLERS[name][3] * math.sqrt(2 / 8000)
        assert 0.4 < float(row["value"]) / truth < 2.0 and float(row["low"]) < float(row["value"]) < float(row["high"])
        assert row["n"] == "16" and row["n_ok"] == "2"


def test_cover_and_certified_ends_are_counted_apart(tree):
    root, _ = tree
    place = {"dataset": "dark-twin", "model": "boaster", "budget": "8000"}
    (cover,), (lower,) = (pooled(root, quantity=q, **place) for q in ("cover", "certified_lower"))
    (upper,) = pooled(root, quantity="certified_upper", **place)
    assert (float(cover["value"]), float(lower["value"]), float(upper["value"])) == (0.0, 0.0, 1.0)
    assert not pooled(root, quantity="certified_lower", model="chain")


def test_a_certified_end_that_fails_raises_an_alarm_and_no_other_does(tree):
    root, _ = tree
    alarms = [(row["subject"], row["text"].split(" certified ")[1][:5]) for row in rows(root / "checks.csv")
              if row["level"] == "alarm"]  # fmt: skip
    assert alarms == [("boaster", "lower")]
    assert "certified lower ends fail" in (root / "report/index.html").read_text()


def test_an_exact_sampler_that_is_not_raises_an_alarm(tmp_path, monkeypatch):
    monkeypatch.setattr("gm.stages.sampling.report.draw", lambda *_: {})
    monkeypatch.setitem(SAMPLERS, "exact", (*SAMPLERS["exact"][:4], 1.6))
    spec = specification() | {"datasets": ["dark-twin"]}
    spec |= {"planned": [cell for cell in spec["planned"] if cell[0] == "dark-twin"], "skipped": []}
    write(tmp_path, spec)
    report(tmp_path, spec)
    alarms = {row["subject"] for row in rows(tmp_path / "checks.csv") if row["level"] == "alarm"}
    assert alarms == {"exact", "boaster"}


def test_without_truth_nothing_is_judged(tree):
    root, _ = tree
    assert not pooled(root, dataset="dark", quantity="rmse") and not pooled(root, dataset="dark", quantity="cover")
    assert pooled(root, dataset="dark", model="annealed", quantity="spread")
    page = (root / "report/index.html").read_text()
    assert "log Z is not known" in page and "RMSE on the twin" in page


def test_scaling_is_that_put_in(tree):
    """RMSE ~ sqrt(dim / evaluations): the exponents' intervals hold 1/2 and -1/2; five times as wide, for seed luck."""
    root, _ = tree
    for row in rows(root / "scaling.csv"):
        if row["model"] in ("annealed", "annealed-hmc"):
            middle, half = float(row["exponent"]), (float(row["high"]) - float(row["low"])) / 2
            assert abs(middle - float(row["theory"])) < 2 * half < 1
            assert int(row["cells"]) + int(row["left_out"]) == 12


def test_the_difficulty_map_puts_each_member_in_its_place(tree, monkeypatch):
    from gm.stages.results import Tree
    from gm.stages.sampling import pictures

    root, spec = tree
    seen = []
    monkeypatch.setattr(pictures.draw_maps, "difficulty", lambda *found: seen.extend(found))
    row = {"low": None, "high": 1.0, "level": 0.9, "n_ok": 2}
    pools = {("boxes", member, model): {"rmse/8000": row | {"value": given["dim"] + given["condition"] / 1000},
             "cover/8000": row} for member, given in MEMBERS.items() for model in SAMPLERS}  # fmt: skip
    pictures.of_family(Tree(root, spec), "boxes", pools)["difficulty"]()
    assert seen[1:] == [("dim", [2, 8, 32]), ("condition", ["1", "100"])]
    assert seen[0][0]["values"].tolist() == [[2.001, 2.1], [8.001, 8.1], [32.001, 32.1]]


def test_a_cell_says_which_seeds_ran_and_whether_its_intervals_keep_their_promise():
    from gm.stages.sampling.pictures import marked

    cover = {"high": 0.92, "level": 0.9}
    assert marked({"value": 0.5, "n_ok": 3}, cover, 3) == "0.5"
    assert marked({"value": 0.5, "n_ok": 2}, cover | {"level": 0.95}, 3) == "0.5 ×\n2/3"


def test_effective_draws_are_read_against_exact_ones(tree):
    """The dashed line is what exact draws have, not n, and not more than the reference allows."""
    from gm.stages.results import Tree
    from gm.stages.sampling import pictures, report, ruler

    root, spec = tree
    found = Tree(root, spec)
    law = report.law_of(found, "modes", "")
    (line,) = pictures.panels_of(found, report.facts_of(found, "modes", ""), law)[0]["lines"]
    assert 0.7 < line * (1 / DRAWS + 1 / 400) < 1.4
    assert line == pytest.approx(1 / io.read_arrays(root / "modes/ruler/features.npz")["b2"].mean()) != DRAWS
    assert f"{ruler.SETS} sets" in TARGETS["draws"] and law["sets"] == 60


def test_what_cannot_be_told_from_the_exact_control_is_said(tree):
    root, _ = tree
    found = {(row["model"], row["quantity"]): row["verdict"] for row in rows(root / "paired.csv")
             if row["dataset"] == "dark-twin"}  # fmt: skip
    assert found["base", "log rmse/8000"] == found["boaster", "log rmse/8000"] == "loses"
    assert found["annealed-hmc", "log rmse/8000"] == "not distinguishable"


def test_a_failed_cell_is_shown_and_counted(tree):
    root, _ = tree
    counted = {row["n_ok"] for row in pooled(root, dataset="modes", model="chain")}
    assert counted == {"1"} and "the pilot left the finite numbers" in (root / "report/index.html").read_text()


def test_the_page_stands_alone(tree):
    root, _ = tree
    page = (root / "report/index.html").read_text()
    addresses = re.findall(r'(?:src|href)="([^"]{0,60})', page)
    assert all(address.startswith(("#", "../", "data:image/")) for address in addresses)
    assert "a &lt;note&gt;" in page and "a <note>" not in page
    for name in TARGETS:
        assert f'alt="{name}' in page


def test_figures_carry_the_hash_of_the_table_and_the_commit(tree):
    root, spec = tree
    digest = hashlib.sha256((root / "table.csv").read_bytes()).hexdigest()
    for path in (root / "figures").rglob("*.svg"):
        text = path.read_text()
        assert digest in text and spec["commit"] in text and "<dc:date>" not in text
    assert digest in (root / "report/index.html").read_text()


@pytest.mark.slow
def test_two_reports_have_the_same_bytes(tree, tmp_path):
    root, spec = tree
    write(tmp_path, spec)
    report(tmp_path, spec)
    files = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    assert [str(path) for path in files if (root / path).read_bytes() != (tmp_path / path).read_bytes()] == []


@pytest.mark.slow
def test_a_benchmark_whose_runs_all_failed_still_has_a_report(tmp_path):
    spec = specification()
    write(tmp_path, spec | {"planned": []})
    report(tmp_path, spec)
    assert {row["status"] for row in rows(tmp_path / "status.csv") if row["seed"]} == {"missing"}
    assert (tmp_path / "report/index.html").is_file()
