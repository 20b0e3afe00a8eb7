"""How right and how fast an audit is: ``python -m benchmarks.auditing`` (``--packages DIR`` keeps the downloads).

The samples stand in ``benchmarks/audit_labels.json``: uses that were drawn from packages at random, in rounds, each
with the class that the audit gave then (``said``) and the one that reading its code gave (``right``; ``noted`` where
what was noted before the comparison turned out to be wrong). What is wrong in a round is mended, so a round is held
out only from the mends that came before it; rounds are never added up.

    python -m benchmarks.auditing --draw SEED --packages DIR    # a new round, without labels
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
import zipfile
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from regauge.decide.audit import Audit, audit_tree
from regauge.decide.audit.arguments import plain
from regauge.decide.audit.recorder import canonical

LABELS = Path(__file__).parent / "audit_labels.json"
PAGE = Path(__file__).parents[1] / "docs" / "auditing.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

# Package, the folder that is audited, the direction, the first round that drew from it.
PACKAGES = {
    "timm": ("timm", "jax", 1),
    "stable-baselines3": ("stable_baselines3", "jax", 1),
    "torchvision": ("torchvision", "jax", 1),
    "transformers": ("transformers", "jax", 1),
    "accelerate": ("accelerate", "jax", 1),
    "brax": ("brax", "torch", 1),
    "flax": ("flax", "torch", 1),
    "optax": ("optax", "torch", 1),
    "numpyro": ("numpyro", "torch", 1),
    "distrax": ("distrax", "torch", 1),
    "gpytorch": ("gpytorch", "jax", 6),
    "kornia": ("kornia", "jax", 6),
    "pyro-ppl": ("pyro", "jax", 6),
    "torchmetrics": ("torchmetrics", "jax", 6),
    "equinox": ("equinox", "torch", 6),
    "dm-haiku": ("haiku", "torch", 6),
    "torchrl": ("torchrl", "jax", 7),
    "segmentation-models-pytorch": ("segmentation_models_pytorch", "jax", 7),
    "x-transformers": ("x_transformers", "jax", 7),
    "skorch": ("skorch", "jax", 7),
    "botorch": ("botorch", "jax", 7),
    "diffrax": ("diffrax", "torch", 7),
    "blackjax": ("blackjax", "torch", 7),
    "rlax": ("rlax", "torch", 7),
    "gymnax": ("gymnax", "torch", 7),
}
# Uses of each class in a round, by direction; later rounds are as the second unless they stand here.
PER_CLASS: dict[int, dict[str, dict[str, int]]] = {
    1: {
        "jax": {"automatic": 45, "equivalent": 40, "manual": 40, "none": 15, "hazard": 40},
        "torch": {"equivalent": 25, "manual": 25},
    },
    2: {
        "jax": {"automatic": 40, "equivalent": 50, "manual": 25, "hazard": 20},
        "torch": {"equivalent": 30, "manual": 15},
    },
    3: {"jax": {"automatic": 60, "manual": 36}, "torch": {"manual": 24}},
    4: {"jax": {"manual": 36}, "torch": {"manual": 24}},
    5: {"jax": {"manual": 36}, "torch": {"manual": 24}},
    6: {
        "jax": {"automatic": 60, "equivalent": 45, "manual": 45, "hazard": 20},
        "torch": {"equivalent": 35, "manual": 40},
    },
    7: {
        "jax": {"automatic": 60, "equivalent": 50, "manual": 65, "hazard": 30},
        "torch": {"equivalent": 30, "manual": 40},
    },
    8: {
        "jax": {"automatic": 80, "equivalent": 60, "manual": 65, "hazard": 20},
        "torch": {"equivalent": 20, "manual": 40},
    },
}
# What a round was held out from, and what was mended on it.
HELD_OUT = {
    1: "Drawn before anything was mended. Its reader saw the class that the audit had given.",
    2: "Held out from the mends of round 1. Mended on it: gradients that are read, optimizers of JAX itself, what only "
    "generation calls, records of outputs.",
    3: "Held out from the mends of rounds 1 and 2. Mended on it: names that JAX and PyTorch spell differently, "
    "layers that torch has no sample of, functions of optimizers, the fans of a weight (wrong in round 2).",
    4: "Held out from the mends of rounds 1 to 3. Mended on it: what Flax hands on from JAX, a memory format, "
    "a vendor's backend.",
    5: "Held out from the mends of rounds 1 to 4. Mended on it: zero_grad; then, from all rounds, names of both public "
    "APIs without a record, and arguments that decide.",
    6: "Held out from the mends of rounds 1 to 5, and the first with gpytorch, kornia, Pyro, torchmetrics, Equinox and "
    "Haiku. Mended on it: names that other objects share with tensors, metrics, autocast that is asked for, and what "
    "a forward calls of other classes.",
    7: "Held out from the mends of rounds 1 to 6, and the first with TorchRL, segmentation-models-pytorch, "
    "x-transformers, skorch, BoTorch, Diffrax, BlackJAX, RLax and Gymnax. Mended on it: settings that PyTorch needs "
    "nothing for, what JAX keeps inside and shows elsewhere, methods that return objects, functions that work on the "
    "objects of a library.",
    8: "Held out from the mends of rounds 1 to 7. Nothing was mended on it.",
}
LINES_OF_SPEED = 300_000


def fetch(names: list[str], versions: dict[str, str], directory: Path) -> None:
    """Download wheels without their dependencies and unpack each into a folder of its own; nothing is installed."""
    for name in names:
        if (directory / name).is_dir():
            continue
        wanted = f"{name}=={versions[name]}" if name in versions else name
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "-d", str(directory), wanted], check=True, stderr=subprocess.DEVNULL)
        wheel = next(directory.glob(f"{name.replace('-', '_')}-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(directory / name, [item for item in archive.namelist() if item.endswith(".py")])
        (directory / name / "VERSION").write_text(wheel.name.split("-")[1])


def reported(audit: Audit) -> dict[tuple[str, int, str], str]:
    """(file, line, name) -> class of every use; hazards under their kind, with ``hazard`` as class.

    A name stands without the argument that decides its class, as in the rounds from before there was one.
    """
    found = {
        (file.path, line, plain(audit.names[index].name)): audit.names[index].degree
        for file in audit.files
        for index, lines in file.uses
        for line in lines
    }
    return found | {(item.file, item.line, f"hazard: {item.kind}"): "hazard" for item in audit.hazards}


def audits(directory: Path, versions: dict[str, str], round_: int) -> dict[str, Audit]:
    """The audits of the packages that a round draws from."""
    fetch([name for name, (_, _, first) in PACKAGES.items() if first <= round_], versions, directory)
    return {
        name: audit_tree(directory / name / folder, to)  # type: ignore[arg-type]
        for name, (folder, to, first) in PACKAGES.items()
        if first <= round_
    }


def draw(seed: int, round_: int, directory: Path) -> list[dict[str, Any]]:
    """Uses at random, so many of each class, none of an earlier round; without labels and in an order that tells none.

    The class that the audit gave is the last field, to be hidden while the code is read.
    """
    random_ = random.Random(seed)
    stored = json.loads(LABELS.read_text(encoding="utf-8"))
    earlier = {(u["package"], u["file"], u["line"], u["use"]) for u in stored["uses"] if u["round"] < round_}
    found = audits(directory, stored["packages"] if round_ > 1 else {}, round_)
    drawn: list[dict[str, Any]] = []
    for direction, wanted in PER_CLASS.get(round_, PER_CLASS[2]).items():
        pool = [
            (name, *place, degree)
            for name, audit in found.items()
            if audit.target == direction
            for place, degree in sorted(reported(audit).items())
            if (name, *place) not in earlier
        ]
        for degree, count in wanted.items():
            own = [item for item in pool if item[4] == degree]
            for package, file, line, name, said in random_.sample(own, min(count, len(own))):
                use = {"package": package, "file": file, "line": line, "use": name, "round": round_, "said": said}
                drawn.append(use)
    random_.shuffle(drawn)
    return drawn


def wilson(right: int, total: int, z: float = 1.96) -> str:
    """The 95 % interval of a share, by Wilson (1927): it stays inside of 0 and 1 where all are right."""
    share = right / total
    centre, width = share + z * z / (2 * total), z * sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    low, high = ((centre + sign * width) / (1 + z * z / total) for sign in (-1, 1))
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def shares(uses: list[dict[str, Any]]) -> list[str]:
    """The table of one round: right ones by the class that the audit gave when the round was drawn; what was wrong."""
    counts: dict[str, list[int]] = {}
    wrong = []
    for item in uses:
        count = counts.setdefault(item["said"], [0, 0])
        count[0] += item["said"] == item["right"]
        count[1] += 1
        if item["said"] != item["right"]:
            place = f"{item['package']} {item['file']}:{item['line']}"
            wrong.append(f"`{item['use']}` in {place}: {item['said']}, right is {item['right']} ({item['reason']})")
    rows = [f"| {name} | {r} | {t} | {100 * r / t:.1f} % | {wilson(r, t)} |" for name, (r, t) in sorted(counts.items())]
    text = [
        "| class that the audit gives | right | in the sample | precision | 95 % interval |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]
    for item in (item for item in uses if "noted" in item):
        change = "one more" if item["noted"] == item["said"] else "one less"
        text += [
            f"`{item['use']}` was noted as {item['noted']} before the comparison and corrected to {item['right']} "
            f"after it; as noted, the class {item['said']} has {change} that is right.",
            "",
        ]
    return [*text, "Wrong when it was drawn:", "", *(f"- {line}" for line in wrong or ["none"]), ""]


def right_now(uses: list[dict[str, Any]], found: dict[str, dict[tuple[str, int, str], str]]) -> int:
    """How many labelled uses the present audit classes right; one that it no longer reports is wrong."""
    said = [found[u["package"]].get((u["file"], u["line"], canonical(u["use"])), "not a use") for u in uses]
    return sum(one == use["right"] for one, use in zip(said, uses, strict=True))


def rounds(directory: Path) -> list[str]:
    """Every round apart."""
    stored = json.loads(LABELS.read_text(encoding="utf-8"))
    found = {name: reported(audit) for name, audit in audits(directory, stored["packages"], max(HELD_OUT)).items()}
    text = []
    for item in stored["rounds"]:
        uses = [use for use in stored["uses"] if use["round"] == item["round"]]
        text += [f"### Round {item['round']}", "", f"{HELD_OUT[item['round']]} Seed {item['seed']}.", "", *shares(uses)]
        text += [f"With what was mended since, {right_now(uses, found)} of {len(uses)} are right.", ""]
    versions = sorted(stored["packages"].items())
    return [*text, "### Packages and speed", "", ", ".join(f"{name} {version}" for name, version in versions) + ".", ""]


def speed(directory: Path) -> dict[str, Any]:
    """Seconds, processor time and memory for `LINES_OF_SPEED` lines of transformers, with two processes."""
    source = directory / "transformers" / "transformers" / "models"
    with TemporaryDirectory() as place:
        lines = 0
        for folder in sorted(path for path in source.iterdir() if path.is_dir()):
            for file in folder.glob("*.py"):
                target = Path(place) / folder.name / file.name
                target.parent.mkdir(exist_ok=True)
                text = file.read_bytes()
                target.write_bytes(text)
                lines += text.count(b"\n")
            if lines >= LINES_OF_SPEED:
                break
        began, before = time.perf_counter(), processor_time()
        audit = audit_tree(place, "jax", workers=2)
        seconds, processor = time.perf_counter() - began, processor_time() - before
    peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "lines": lines,
        "files": audit.totals.files,
        "seconds": seconds,
        "processor": processor,
        "parent": peaks[0],
        "child": peaks[1],
    }


def processor_time() -> float:
    """Seconds of processor time of this process and of those that it waited for: other load does not count in them."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def parsers(directory: Path, most: int = 20_000) -> dict[str, float]:
    """Lines per second of the two ways to read a file: ast, and libcst with positions and qualified names."""
    import ast

    files = sorted((directory / "timm" / "timm" / "models").glob("*.py"))
    texts, lines = [], 0
    for file in files:
        texts.append(file.read_bytes())
        lines += texts[-1].count(b"\n")
        if lines >= most:
            break
    began = time.perf_counter()
    for text in texts:
        sum(1 for _ in ast.walk(ast.parse(text)))
    found = {"ast": lines / (time.perf_counter() - began)}
    try:
        from libcst import parse_module
        from libcst.metadata import MetadataWrapper, PositionProvider, QualifiedNameProvider
    except ImportError:
        return found
    began = time.perf_counter()
    for text in texts:
        wrapper = MetadataWrapper(parse_module(text), unsafe_skip_copy=True)
        wrapper.resolve_many([PositionProvider, QualifiedNameProvider])
    return found | {"libcst": lines / (time.perf_counter() - began)}


def figures(directory: Path) -> str:
    """The part of the page that this command writes."""
    text = [BEGIN, "", *rounds(directory)]
    fast, parsed = speed(directory), parsers(directory)
    text += [
        f"Speed: {fast['lines']:,} lines in {fast['files']} files of transformers took {fast['seconds']:.1f} s with "
        f"two processes, {fast['processor']:.1f} s of processor time; the largest of them "
        f"held {max(fast['parent'], fast['child']):.0f} MiB.",
        "",
        "Parsers, lines per second in one process: "
        + ", ".join(f"{name} {rate:,.0f}" for name, rate in parsed.items())
        + ".",
        "",
    ]
    return "\n".join([*text, END])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path)
    parser.add_argument("--draw", type=int, metavar="SEED")
    parser.add_argument("--round", type=int, default=max(HELD_OUT) + 1, help="of the new sample")
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        directory = arguments.packages or Path(temporary)
        directory.mkdir(exist_ok=True)
        if arguments.draw is not None:
            drawn = draw(arguments.draw, arguments.round, directory)
            versions = {
                name: (directory / name / "VERSION").read_text() for name in PACKAGES if (directory / name).is_dir()
            }
            print(
                json.dumps(
                    {
                        "rounds": [{"round": arguments.round, "seed": arguments.draw}],
                        "packages": versions,
                        "uses": drawn,
                    },
                    indent=1,
                )
            )
            return 0
        page = PAGE.read_text(encoding="utf-8")
        before, after = page[: page.index(BEGIN)], page[page.index(END) + len(END) :]
        text = figures(directory)
        PAGE.write_text(before + text + after, encoding="utf-8")
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
