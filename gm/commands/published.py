"""Published tables beside a run of one's own: which numbers agree within their errors, and what else differs."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scipy.special import fdtrc, ndtr

from gm import archive, io
from gm.commands.records import code_changes, differences
from gm.table.interval import p_of, standard_error
from gm.table.summary import number

TABLES = ("table.csv", "checks.csv", "status.csv")
CODE = "code.json"
ERRORS = 4.0  # standard errors within which a number agrees that is not the same
ALIKE = 1e-6  # relative, for numbers without an error
TINY = 1e-12  # rounding of a number that is 0
RATIO = 4.0  # of two errors over items of one number, in the mean over seeds
LEAST = 2 * float(ndtr(-ERRORS))
RARE = 0.05

Mean = tuple[float, float, int, float]


def check_runs(found: Mapping, path: Path) -> None:
    """Refuse an archive of tables alone, by its manifest.

    Raises:
        gm.archive.Refused: it holds no runs.
    """
    if CODE in found["files"]:
        told = "compare it with a run by 'gm verify --run'"
        raise archive.Refused(f"{path} holds tables alone (gm archive --tables); expected one with its runs, or {told}")


def code_of(root: Path) -> dict[str, dict[str, str]]:
    """Every function behind the tables in a folder, by module, with the digest that the records state, or those."""
    if (root / CODE).is_file():
        return io.read_json(root / CODE)
    found: dict[str, dict[str, set[str]]] = {}
    for record in _records(root):
        for module, parts in record.get("code", {}).get("parts", {}).items():
            for part, digest in parts.items():
                found.setdefault(module, {}).setdefault(part, set()).add(digest)
    return {module: {part: _all(told) for part, told in parts.items()} for module, parts in found.items()}


def versions_of(root: Path) -> dict[str, str]:
    """Every library that a record in a folder states, with its version, or those."""
    found: dict[str, set[str]] = {}
    for record in _records(root):
        for name, version in record.get("versions", {}).items():
            found.setdefault(name, set()).add(version)
    return {name: _all(told) for name, told in found.items()}


def _records(root: Path) -> list[dict]:
    paths = [*sorted(root.glob("*/**/*.json")), root / "table.json"]
    return [io.read_json(path) for path in paths if path.relative_to(root).parts[0] != "config"]


def _all(told: Iterable[str]) -> str:
    return " and ".join(sorted({one for some in told for one in some.split(" and ")}))


def groups(rows: Iterable[dict]) -> dict[tuple[str, str, str], list[dict]]:
    """Rows of the table by dataset, model and metric, those of one seed beside each other."""
    found: dict[tuple[str, str, str], list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        found.setdefault((row["dataset"], row["model"], row["metric"]), []).append(row)
    return found


def claims(row: dict) -> dict[str, object]:
    """What a row says besides its value and its error, and the value itself where that is no finite number."""
    value = number(row["value"])
    loose = value is None or not math.isfinite(value)
    return {"status": row["status"], "kind": row["kind"], "n": number(row["n"]), "value": str(value) if loose else ""}


def error_of(row: dict) -> float:
    r"""The error over items of a number, 0 where there is none; of a share that none or all of n have, not 0.

    There it is $\sqrt{\tilde p (1 - \tilde p) / (n + 4)}$, of two successes and two failures more.

    Reference: Agresti and Coull, *Approximate is better than "exact" for interval estimation of binomial proportions*,
    The American Statistician, 1998.

    Example:
        >>> round(error_of({"value": "0.0", "se": "0.0", "n": "8"}), 4)
        0.1076
        >>> error_of({"value": "0.5", "se": "0.1", "n": "8"})
        0.1
    """
    value, error, n = (number(row[key]) for key in ("value", "se", "n"))
    if error == 0 and value in (0.0, 1.0) and n:
        share = (value * n + 2) / (n + 4)
        return math.sqrt(share * (1 - share) / (n + 4))
    return error or 0.0


def mean_of(rows: Sequence[dict]) -> Mean:
    """The mean over seeds, its error over them, their number, its error over items."""
    values = [float(row["value"]) for row in rows]
    items = sum(map(error_of, rows)) / len(rows)
    return math.fsum(values) / len(values), standard_error(values), len(values), items


def agreement(published: Mean, run: Mean) -> float:
    """P-value of two means being one, as if seeds and items were drawn anew; 1 for equal numbers, 0 without errors.

    The error over items is the published one, whatever the run says of its own. That over seeds is of both, so a run
    whose seeds are farther apart than published ones may be (`spread`) does not agree either. Shared seeds and test
    items make the p-value larger than it need be.

    Example:
        >>> agreement((1.0, 0.1, 3, 0.0), (1.0, 0.1, 3, 0.0)), agreement((1.0, 0.0, 3, 0.0), (1.1, 0.0, 3, 0.0))
        (1.0, 0.0)
        >>> round(agreement((1.0, 0.3, 3, 0.0), (2.0, 0.4, 3, 0.0)), 4)
        0.1161
    """
    (a, over, n, items), (b, other, m, _) = published, run
    if abs(a - b) <= max(ALIKE * max(abs(a), abs(b)), TINY):
        return 1.0
    return p_of(a - b, math.hypot(over, other), n + m - 1, math.sqrt(2) * items)


def spread(published: Mean, run: Mean) -> float:
    """P-value of two variances over as many seeds being one, by Fisher's ratio; 1 where neither moves the number.

    To both is added that over items, as published: shares have few values, and three seeds may have the same one.

    Example:
        >>> spread((1.0, 0.1, 3, 0.0), (1.0, 0.1, 3, 0.0)), spread((1.0, 0.0, 3, 0.0), (1.0, 0.1, 3, 0.0))
        (1.0, 0.0)
        >>> round(spread((1.0, 0.1, 3, 0.0), (1.0, 1.0, 3, 0.0)), 4)
        0.0198
        >>> round(spread((0.0, 0.0, 3, 0.006), (0.0013, 0.0013, 3, 0.006)), 2)
        0.98
    """
    least, most = (math.hypot(over, published[3]) for over in sorted((published[1], run[1])))
    if most <= ALIKE * max(abs(published[0]), abs(run[0])):
        return 1.0
    free = published[2] - 1
    return min(1.0, 2 * float(fdtrc(free, free, (most / least) ** 2))) if least and free else float(least > 0)


def alike(ours: Sequence[dict], theirs: Sequence[dict]) -> bool:
    """Whether two sides state errors over items for the same rows, of one size: within `RATIO` in the mean over seeds.

    An error of 0 belongs to a share that nothing or everything has; it counts where the values are the same.

    Example:
        >>> alike([{"value": "1", "se": "0.1"}], [{"value": "2", "se": "0.3"}])
        True
        >>> alike([{"value": "1", "se": "0.1"}], [{"value": "1", "se": "100"}])
        False
    """
    pairs = [(number(mine["se"]), number(other["se"]), mine["value"] == other["value"])
             for mine, other in zip(ours, theirs, strict=True)]  # fmt: skip
    if any((a is None) != (b is None) or (same and (not a) != (not b)) for a, b, same in pairs):
        return False
    first, second = ([pair[at] for pair in pairs if pair[0] and pair[1]] for at in (0, 1))
    return not first or 1 / RATIO <= sum(second) / sum(first) <= RATIO


def judge(ours: Sequence[dict], theirs: Sequence[dict]) -> tuple[float, str]:
    """P-value of the published rows of a number and a run's, of the same seeds, and what to say where it is small."""
    for mine, other in zip(ours, theirs, strict=True):
        said, says = claims(mine), claims(other)
        if said != says:
            what = next(key for key in said if said[key] != says[key])
            return 0.0, f"{what} of seed {mine['seed'] or 'none'}: {mine[what] or 'none'} -> {other[what] or 'none'}"
    if any(claims(row)["value"] for row in ours):
        return 1.0, ""
    a, b = mean_of(ours), mean_of(theirs)
    apart, wide = agreement(a, b), spread(a, b)
    if min(apart, wide) >= LEAST and not alike(ours, theirs):
        stated = [", ".join(row["se"] or "none" for row in rows) for rows in (ours, theirs)]
        return 0.0, f"standard errors over items {stated[0]} -> {stated[1]}"
    if apart <= wide:
        error = math.hypot(a[1], b[1], math.sqrt(2) * a[3])
        far = f"{abs(a[0] - b[0]) / error:.3g} standard errors" if error else "no error stated"
        return apart, f"{a[0]:.6g} -> {b[0]:.6g} ({far})"
    return wide, f"standard error over seeds {a[1]:.3g} -> {b[1]:.3g}"


def compare(old: Path, new: Path) -> tuple[bool, list[str]]:
    """Compare the tables in two folders.

    Returns:
        Whether all numbers agree, and what to say: each number that does not, then what else differs.
    """
    if not (changed := _changed(old, new)):
        return True, [f"{', '.join(TABLES)}: the same bytes"]
    sides = [groups(io.read_rows(folder / "table.csv")) for folder in (old, new)]
    wrong, gone, moved, rare = [], Counter(), 0, 0
    for key in sides[0] | sides[1]:
        ours, theirs = (side.get(key) for side in sides)
        if ours is None or theirs is None:
            gone[f"{key[0]} {key[1]}: %s numbers only in {'this run' if ours is None else 'what was published'}"] += 1
        elif (seeds := _seeds(ours)) != _seeds(theirs):
            if key[2] == "run":
                wrong.append((0.0, f"{' '.join(key)}: seeds {seeds} -> {_seeds(theirs)}"))
            else:
                gone[f"{key[0]} {key[1]}: %s numbers of other seeds"] += 1
        else:
            p, told = judge(ours, theirs)
            wrong += [(p, f"{' '.join(key)}: {told}")] if p < LEAST else []
            moved += p >= LEAST and ours != theirs
            rare += LEAST <= p < RARE
    lines = [line for _, line in sorted(wrong)] + [line % count for line, count in gone.items()]
    lines += alarms(old, new)
    told = f"{len(sides[0] | sides[1])} numbers: {moved} moved within their errors, "
    told += f"{len(wrong) + gone.total()} do not agree; {rare} have p < {RARE}"
    told += f" ({rare / moved:.1%} of those that moved: {RARE:.0%} or less were to be expected)" if moved else ""
    return not lines, [
        *(f"DOES NOT AGREE: {line}" for line in lines),
        f"not the same bytes: {', '.join(changed)}",
        told,
    ]


def equal(old: Path, new: Path) -> bool:
    """Whether the tables in two folders have the same bytes."""
    return not _changed(old, new)


def _changed(old: Path, new: Path) -> list[str]:
    return [name for name in TABLES if not (new / name).is_file() or io.sha256(old / name) != io.sha256(new / name)]


def _seeds(rows: Iterable[dict]) -> str:
    return ", ".join(row["seed"] for row in rows)


def alarms(old: Path, new: Path) -> list[str]:
    """Alarms of the controls that one side alone has."""
    before, after = (_alarms(folder / "checks.csv") for folder in (old, new))
    lines = [f"{' '.join(key)}: an alarm only in what was published" for key in before - after]
    return lines + [f"{' '.join(key)}: an alarm only in this run" for key in after - before]


def _alarms(path: Path) -> Counter[tuple[str, str]]:
    rows = io.read_rows(path) if path.is_file() else []
    return Counter((row["dataset"], row["subject"]) for row in rows if row["level"] == "alarm")


def why(old: Path, new: Path) -> list[str]:
    """What differs between two folders besides numbers: keys of the grid, code and libraries."""
    before, after = (io.read_json(folder / "table.json") for folder in (old, new))
    lines = [f"key {line}" for line in differences(before["spec"], after["spec"])]
    lines += [f"library {line}" for line in differences(*map(versions_of, (old, new)))]
    return lines + [f"code {line}" for line in code_changes(code_of(old), code_of(new))]
