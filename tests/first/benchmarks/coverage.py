"""Coverage of the bootstrap intervals and level of the paired test, by simulation.

Recipes have 2 to 4 images with 3 captions each; hits within a recipe share its difficulty (a normal
effect on the logit scale). For each true hit rate and number of recipes the benchmark counts how
often each interval holds the truth, and how often the paired test sees a difference between two
models that have none. Last comes one JSON line.

Run ``python -m tests.first.benchmarks.coverage`` (some minutes) or with ``--quick``.
"""

import argparse
import json

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from tqdm import tqdm

from helpers.first.evaluation.comparison import paired_comparison
from helpers.first.evaluation.intervals import METHODS, bootstrap_interval

RATES = (0.1, 0.5, 0.9, 0.97)
RECIPES = (20, 50, 200)
CAPTIONS = 3


def intercept_for(rate: float, spread: float) -> float:
    """The logit intercept at which the mean hit rate over recipes is ``rate``."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    return brentq(lambda c: weights @ expit(c + spread * nodes) - rate, -30, 30)


def clustered_hits(
    rate: float, n_recipes: int, spread: float, generator, *, models: int = 1, shared: float = 0.7
) -> tuple[np.ndarray, np.ndarray]:
    """Hits (models, n) of models with one true rate, and the recipe (n,) of each.

    ``shared`` is the correlation of the models' effects of a recipe, each of spread ``spread``.
    """
    images = generator.integers(2, 5, size=n_recipes)
    groups = np.repeat(np.arange(n_recipes), images * CAPTIONS)
    common = generator.standard_normal(n_recipes)
    own = generator.standard_normal((models, n_recipes))
    effects = spread * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
    chances = expit(intercept_for(rate, spread) + effects)[:, groups]  # (models, n)
    return (generator.random(chances.shape) < chances).astype(float), groups


def interval_coverage(
    rate: float, n_recipes: int, *, spread: float, trials: int, method: str, seed: int
) -> tuple[float, float]:
    """The share of intervals that hold ``rate``, and their mean width."""
    generator = np.random.default_rng(seed)
    held, width = 0, 0.0
    for trial in range(trials):
        (hits,), groups = clustered_hits(rate, n_recipes, spread, generator)
        found = bootstrap_interval(hits, groups, n_resamples=1000, seed=trial, method=method)
        held += found.low - 1e-12 <= rate <= found.high + 1e-12
        width += found.high - found.low
    return held / trials, width / trials


def paired_error(
    rate: float, n_recipes: int, *, spread: float, trials: int, seed: int
) -> tuple[float, float]:
    """How often the test errs, and how often the interval misses 0, where models are alike."""
    generator = np.random.default_rng(seed)
    rejected = missed = 0
    for trial in range(trials):
        (a, b), groups = clustered_hits(rate, n_recipes, spread, generator, models=2)
        found = paired_comparison(a, b, groups, n_resamples=1000, n_flips=999, seed=trial)
        rejected += found.verdict != "not distinguishable"
        missed += not found.low <= 0 <= found.high
    return rejected / trials, missed / trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer simulated test sets")
    parser.add_argument("--trials", type=int, default=0, help="simulated test sets a cell")
    parser.add_argument("--spread", type=float, default=1.5, help="of recipes, logits")
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    trials = options.trials or (100 if options.quick else 1000)
    common = {"spread": options.spread, "trials": trials, "seed": options.seed}
    cells = [(rate, recipes) for recipes in RECIPES for rate in RATES]
    result: dict[str, float] = {}
    lines = []
    for rate, recipes in tqdm(cells, desc="cells", disable=None):
        line = f"{recipes:7d} {rate:5.2f}"
        for method in METHODS:
            held, width = interval_coverage(rate, recipes, method=method, **common)
            result[f"coverage/{method}/{recipes}/{rate}"] = held
            result[f"width/{method}/{recipes}/{rate}"] = round(width, 4)
            line += f"  {held:8.3f} {width:6.3f}"
        error, missed = paired_error(rate, recipes, **common)
        result[f"type_1/test/{recipes}/{rate}"] = error
        result[f"type_1/interval/{recipes}/{rate}"] = missed
        lines.append(line + f"  {error:6.3f} {missed:8.3f}")
    print(f"{trials} simulated test sets a cell, recipe spread {options.spread} logits, level 0.95")
    print("             " + "".join(f"{name:>17s}" for name in METHODS))
    print("recipes  rate " + "  held  width   " * len(METHODS) + " type I: test, interval")
    print("\n".join(lines))
    print(json.dumps({"benchmark": "coverage", "trials": trials, **result}))


if __name__ == "__main__":
    main()
