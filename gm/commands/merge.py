"""gm merge: join archives into one, refused where their runs contradict each other."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from gm import archive, io, source
from gm.commands import figures
from gm.commands.archive import pack
from gm.commands.published import check_runs
from gm.commands.records import code_changes, differences
from gm.stages import exhibit
from gm.stages.job import roots_of

ALIKE = ("metrics", "nets", "inception", "budgets", "groups", "draws", "grid")


def main(arguments: list[str]) -> int:
    """Write the joint archive, with its tables and figures made anew from all runs."""
    parser = argparse.ArgumentParser("gm merge", description=__doc__.splitlines()[0])
    parser.add_argument("archives", nargs="+", type=Path, help="two or more")
    parser.add_argument("--out", type=Path, required=True, help="the joint zip file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        try:
            found = merge(options.archives, Path(name), options.out)
        except (archive.Refused, OSError) as error:
            print(f"gm merge: {error}", file=sys.stderr)
            return 2
    print(f"{options.out}: {len(found['spec']['planned'])} runs from {len(options.archives)} archives")
    return 0


def merge(paths: list[Path], place: Path, out: Path) -> dict:
    """Join archives; the manifest of the joint one.

    Raises:
        gm.archive.Refused: one is not what it should be, or two disagree on a dataset, a model, a metric or a run.
    """
    if not archive.NAME.fullmatch(out.stem):
        raise archive.Refused(f"--out {out.name}: expected a plain name, which the joint benchmark is to have")
    whole, read, extra = place / "joint", [], {}
    for index, path in enumerate(paths):
        folder = place / str(index)
        read.append((archive.read(path, folder), folder, path))
        check_runs(read[-1][0], path)
    with archive.untrusted():
        spec = joint([(found["spec"], path) for found, _, path in read], out.stem)
        same_making([(folder, path) for _, folder, path in read])
        for index, (found, folder, path) in enumerate(read):
            for name in found["files"]:
                top = name.split("/")[0]
                if top in spec["datasets"]:
                    _add(folder / name, whole / name, name, path)
                elif top == "config":
                    inner = name.removeprefix("config/")
                    extra[f"config/{index}-{path.stem}/{inner}"] = (folder / name).read_bytes()
        record = io.read_json(read[0][1] / "table.json")
        commits = sorted({found["commit"] for found, _, _ in read})
        versions = {name: " and ".join(sorted({found["versions"].get(name, "none") for found, _, _ in read}))
                    for name in sorted({name for found, _, _ in read for name in found["versions"]})}  # fmt: skip
        prints = source.fingerprint(*roots_of("report", spec))
        record |= {"spec": spec, "commit": " and ".join(commits), "versions": versions}
        record["code"] = {"digest": source.digest(prints), "parts": prints}
        io.write_json(whole / "table.json", record)
    figures.make(whole)
    made = {"table": io.sha256(whole / "table.csv"), "page": io.sha256(whole / "report/index.html")}
    io.write_json(whole / "table.json", record | {"outputs": made})
    sources = [{"file": path.name, "sha256": io.sha256(path), "commit": found["commit"]} for found, _, path in read]
    return pack(whole, out, extra, about={"merged": sources})


def same_making(read: list[tuple[Path, Path]]) -> None:
    """Refuse archives whose runs of one contestant on one dataset are of other keys or other code: they share a mean.

    Raises:
        gm.archive.Refused: naming the stage and what differs.
    """
    first: dict[tuple[str, str, str], tuple[Path, dict]] = {}
    for folder, path in read:
        for file in sorted(folder.glob("*/*/*/*.json")):
            record, place = io.read_json(file), (*file.relative_to(folder).parts[:2], file.stem)
            if record.get("status", "ok") != "ok" or "external" in record.get("spec", {}):
                continue
            origin, before = first.setdefault(place, (path, record))
            if origin == path:
                continue
            odd = [f"key {line}" for line in differences(before.get("spec", {}), record.get("spec", {}))]
            parts = (one.get("code", {}).get("parts", {}) for one in (before, record))
            odd += [f"code {line}" for line in code_changes(*parts)]
            if odd:
                raise archive.Refused(f"{'/'.join(place)} of {path} was made otherwise than in {origin}: {odd[0]}")


def joint(specs: list[tuple[dict, Path]], name: str) -> dict:
    """The specification of the joint report: all datasets, models, runs and seeds.

    Raises:
        gm.archive.Refused: if the archives measured differently, or two models of one name are not the same.
    """
    first, origin = specs[0]
    out = {key: value for key, value in first.items() if key in ALIKE} | {"benchmark": name}
    models: dict[str, dict] = {}
    for spec, path in specs:
        for key in ALIKE:
            if spec.get(key) != first.get(key):
                raise archive.Refused(f"'{key}' is {spec.get(key)} in {path} and {first.get(key)} in {origin}")
        for model in spec["models"]:
            if models.setdefault(model["name"], model) != model:
                raise archive.Refused(f"model '{model['name']}' of {path} is another one than in an archive before it")
    out |= {"models": list(models.values())}
    for key in ("datasets", "planned", "compare", "ladder"):
        out[key] = _union(item for spec, _ in specs for item in spec[key])
    if "families" in first:
        out["families"] = {name: about for spec, _ in specs for name, about in spec["families"].items()}
    ran = {tuple(cell[:2]) for cell in out["planned"]}
    skipped = _union(item for spec, _ in specs for item in spec["skipped"])
    out["skipped"] = [item for item in skipped if tuple(item[:2]) not in ran]
    out["seeds"] = sorted({seed for spec, _ in specs for seed in spec["seeds"]})
    return out


def _union(items) -> list:
    out = []
    for item in items:
        if item not in out:
            out.append(item)
    return out


def _add(source: Path, target: Path, name: str, path: Path) -> None:
    """One file into the joint folder; a second of its name must be of the same making.

    Of a record that is: the same key, the same code and the same outputs, whatever the time it took. Of an exhibit: the
    same dataset; the pictures of both are shown.
    """
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        return
    if source.suffix == ".json":
        old, new = io.read_json(target), io.read_json(source)
        for key in ("status", "spec", "seed", "stage", "inputs", "outputs"):
            if old.get(key) != new.get(key):
                raise archive.Refused(f"{name} of {path} and of an archive before it differ in '{key}'")
        if old.get("code", {}).get("digest") != new.get("code", {}).get("digest"):
            raise archive.Refused(f"{name} of {path} was made by other code than in an archive before it")
    elif source.name == "exhibit.npz":
        (about, shown), (other, further) = (exhibit.unpack(io.read_arrays(file)) for file in (target, source))
        if about != other:
            raise archive.Refused(f"{name} of {path} is of another dataset than in an archive before it")
        names = {group["name"] for group in shown}
        io.write_arrays(target, exhibit.pack(about, shown + [g for g in further if g["name"] not in names]))
    elif io.sha256(source) != io.sha256(target):
        raise archive.Refused(f"{name} of {path} has other bytes than in an archive before it")
