"""Benchmarks as tests run them, and what is compared of them."""

from occface import files
from occface.benchmark.engine import run_benchmark
from occface.benchmark.scores import load_scores

#: The steps that score the two pipelines of the fixture `recipe`.
BOTH = ["score Bicubic on faces, square", "score Bicubic + paints on faces, square"]


def run(recipe, folder, **options):
    return run_benchmark(recipe, folder, device="cpu", **options)


def scores_of(folder):
    """Return what is scored, without the times that differ from run to run."""
    listed = files.read_json(folder / "scores" / "files.json")
    return load_scores(folder / "scores", listed["scores"]).drop(columns="seconds")


def states(folder):
    return {name: step["state"] for name, step in files.read_json(folder / "plan.json")["steps"].items()}
