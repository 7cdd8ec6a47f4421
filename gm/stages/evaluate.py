"""evaluate: data, ruler, samples, scores and features -> metrics.csv, one row per number, and items.npz."""

from gm import io, provenance, rng
from gm.stages.job import Input, Outcome, Output

COLUMNS = ("metric", "value", "se", "n", "kind", "status")


def counted(artefacts: dict[str, Input]) -> list[dict]:
    """Counted evaluations and the facts of a fit, as rows, from the records beside the artefacts."""
    rows = []
    for stage, path in artefacts.items():
        record_path = provenance.record_of(path)
        record = io.read_json(record_path) if record_path.is_file() else {}
        for name, count in sorted(record.get("evals", {}).items()):
            rows.append({"metric": f"evals/{stage}/{name}", "value": count, "n": 1, "kind": "count"})
        for name, fact in sorted(record.get("facts", {}).items()) if stage == "train" else ():
            value, se, n, kind = (*fact, "estimate")[:4] if isinstance(fact, list) else (fact, None, 1, "count")
            if isinstance(value, int | float):
                rows.append({"metric": f"fit/{name}", "value": value, "se": se, "n": n, "kind": kind})
    return rows


def run(
    data: Input,
    ruler: Input,
    weights: Input,
    samples: Input,
    scores: Input,
    features: Input,
    metrics: Output,
    per_item: Output,
    *,
    spec: dict,
    seed: int,
    failure: tuple[str, str],
) -> Outcome:
    """Turn one run's arrays into rows, and what figures draw per item; a failed run leaves one row that says so."""
    status, _ = failure
    left = {}
    rows = [{"metric": "run", "value": int(status == "ok"), "n": 1, "kind": "count"}]
    if status == "ok":
        from gm.metrics.rows import evaluate
        from gm.metrics.run import Run

        arrays = [io.read_arrays(path) for path in (data, ruler, samples, scores, features)]
        whole = Run(*arrays, nets=spec["nets"], items=left)
        rows += evaluate(whole, metrics=spec["metrics"], rng=rng.numpy_stream(seed, "evaluate"))
    rows += counted({"train": weights, "score": scores})
    io.write_arrays(per_item, left)
    io.write_rows(metrics, COLUMNS, ({"status": status} | row for row in rows))
    return Outcome()
