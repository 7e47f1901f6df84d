"""Measure how often the promises of `avae calibrate` and `avae anomaly` are broken.

    python benchmarks/guarantees.py RUN [--pictures 2000] [--repetitions 200] [--out FILE.json]

Calibrates again and again, on fresh pictures of a synthetic law whose risk is known, and on random halves of
a run's test pictures, whose losses are computed once. A calibration misses its promise if the expected loss
is above --miss; at most a share --risk of them may. Of a run the expected loss is known in two ways: exactly,
if the pictures that were computed are all there are (halves of them, or draws with replacement, which are
independent, as the promise supposes); or from the other half, which adds the noise of a finite sample.
"""

import argparse
import json
import math
import platform
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm

import avae
from avae.anomaly_scores import score_function, scored
from avae.console import progress_bar
from avae.data.dataset import as_tensor
from avae.guarantees.conformal import conformal_p_values
from avae.guarantees.defaults import DRAWS, FALSE_ALARMS, MISS, RISK
from avae.guarantees.intervals import FLOOR, SCALES, intervals, losses_by_scale
from avae.guarantees.risk_control import smallest_controlled
from avae.held_out import held_out_split
from avae.load_data import load_dataset_for
from avae.recipes.saved_run import read_run
from avae.rng import rng, row_chunks

Array = NDArray[np.float64]

CALIBRATED = 200
"""Number of pictures of the synthetic law in a calibration set."""

PIXELS = 64
"""Number of values of one of its pictures."""

WIDTHS = 300
"""Number of pictures of a run whose intervals are measured."""

SMALLEST = ["run", "--pictures", "120", "--repetitions", "20", "--draws", "2", "--false-alarms", "0.05"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--miss", type=float, default=MISS)
    parser.add_argument("--risk", type=float, default=RISK)
    parser.add_argument("--false-alarms", type=float, default=FALSE_ALARMS)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    args = parser.parse_args(argv)
    losses, errors, widths = of_run(args.run, args.pictures, args.draws)
    repeat = Repetitions(args.repetitions, args.miss, args.risk, args.false_alarms)
    rows = [
        *repeat.synthetic_risk(),
        *repeat.risk_of(losses),
        repeat.synthetic_alarms(),
        repeat.alarms_of(errors),
    ]
    print(
        "| promise | pictures | mean | worst | missed, or rate | allowed | |\n|---|---|---|---|---|---|---|"
    )
    for row in rows:
        print(
            f"| {row['promise']} | {row['pictures']} | {row['mean']:.4f} | {row['worst']:.4f} "
            f"| {row['found']:.4f} | {row['allowed']:.4f} | {'kept' if row['kept'] else 'BROKEN'} |"
        )
    found = {"map": smallest_controlled(losses.mean(0), len(losses), args.miss, args.risk)}
    found["one width"] = smallest_controlled(widths.constant_losses, len(losses), args.miss, args.risk)
    for name, index in found.items():
        print(f"mean width of intervals, {name}: {widths.of(name, index):.3f}")
    print("PASS" if all(row["kept"] for row in rows) else "FAIL")
    if args.out:
        result = {
            "command": f"python benchmarks/guarantees.py RUN --pictures {args.pictures}"
            f" --repetitions {args.repetitions} --miss {args.miss} --risk {args.risk}"
            f" --false-alarms {args.false_alarms} --draws {args.draws}",
            "date": date.today().isoformat(),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
            "rows": rows,
            "widths": {name: widths.of(name, index) for name, index in found.items()},
        }
        args.out.write_text(f"{json.dumps(result, indent=2)}\n")


class Widths:
    """Widths of intervals of some pictures, by the map or without it.

    Attributes:
        constant_losses: (S,) mean losses of intervals of one width, of all pictures.
    """

    def __init__(self, centres: torch.Tensor, spreads: torch.Tensor, constant_losses: Array) -> None:
        self._centres, self._spreads = centres, spreads
        self.constant_losses = constant_losses

    def of(self, name: str, index: int | None) -> float:
        """Return the mean width at a scale, by its index; infinity without one."""
        if index is None:
            return math.inf
        spreads = self._spreads if name == "map" else torch.zeros_like(self._spreads)
        lower, upper = intervals(self._centres, spreads, float(SCALES[index]))
        return float((upper - lower).mean())


def of_run(run: Path, count: int, draws: int) -> tuple[Array, Array, Widths]:
    """Return losses (N, S) and reconstruction errors (N,) of test pictures, and the widths of intervals."""
    saved, model = read_run(run), avae.load(run, device="cpu")
    assert saved is not None, f"{run} is not a run"
    held = held_out_split(load_dataset_for(model, saved.config.data)).chosen(count)
    losses, centres, spreads = [], [], []
    constant = np.zeros(len(SCALES))
    with progress_bar("computing losses") as progress, torch.inference_mode():
        for rows in row_chunks(len(held.items), 16):
            x = as_tensor(held.items[rows.start : rows.stop])
            centre, spread = model.centre_and_spread(model.framework.encode(x), rows, 0, draws)
            losses.append(losses_by_scale(x, centre, spread))
            constant += losses_by_scale(x, centre, torch.zeros_like(spread)).sum(0) / len(held.items)
            if rows.start < WIDTHS:
                centres.append(centre)
                spreads.append(spread)
            progress.update(rows.stop, len(held.items))
    errors = [
        each for _, values in scored(held.batches(64), score_function(model, "error")) for each in values
    ]
    return np.concatenate(losses), np.array(errors), Widths(torch.cat(centres), torch.cat(spreads), constant)


class Repetitions:
    """What is promised, and how often it is tried."""

    def __init__(self, count: int, miss: float, risk: float, rate: float) -> None:
        self.count, self.miss, self.risk, self.rate = count, miss, risk, rate

    def synthetic_risk(self) -> list[dict[str, object]]:
        """Calibrate on pictures whose errors are a s_j e_j: e_j normal, s_j the map, log a normal.

        The factor a, one for a picture, makes its values miss together, as those of a hard picture do. Of the
        second law all values of a picture miss, or none: no loss varies more.
        """
        spread = np.linspace(0.02, 0.5, PIXELS)
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        factors, weights = np.exp(0.6 * nodes), weights / weights.sum()
        reach = SCALES[:, None, None] * (spread + FLOOR) / (factors[:, None] * spread)
        true_risk = (2 * norm.sf(reach)).mean(2) @ weights
        chosen, of_all_or_none = [], []
        for repetition in range(self.count):
            random = rng(0, "synthetic pictures", repetition)
            factor = np.exp(0.6 * random.standard_normal((CALIBRATED, 1)))
            needed = np.abs(factor * spread * random.standard_normal((CALIBRATED, PIXELS))) / (spread + FLOOR)
            means = 1 - np.searchsorted(np.sort(needed.ravel()), SCALES, side="right") / needed.size
            chosen.append(self._risk(means, CALIBRATED, true_risk))
            errors = np.sort(np.abs(random.standard_normal(CALIBRATED)))
            means = 1 - np.searchsorted(errors, SCALES, side="right") / CALIBRATED
            of_all_or_none.append(self._risk(means, CALIBRATED, 2 * norm.sf(SCALES)))
        return [
            self._row("synthetic, exact risk", CALIBRATED, chosen),
            self._row("synthetic, all values miss or none, exact risk", CALIBRATED, of_all_or_none),
        ]

    def risk_of(self, losses: Array) -> list[dict[str, object]]:
        """Calibrate on pictures of a run: halves of all, and as many drawn with replacement."""
        half, everything = len(losses) // 2, losses.mean(0)
        of_all, of_rest, independent = [], [], []
        for repetition in range(self.count):
            random = rng(0, "halves", repetition)
            order = random.permutation(len(losses))
            means, rest = losses[order[:half]].mean(0), losses[order[half:]].mean(0)
            of_all.append(self._risk(means, half, everything))
            of_rest.append(self._risk(means, half, rest))
            drawn = losses[random.integers(0, len(losses), half)].mean(0)
            independent.append(self._risk(drawn, half, everything))
        return [
            self._row("run, drawn with replacement, exact risk", half, independent),
            self._row("run, random halves, risk of all", half, of_all),
            self._row("run, random halves, risk of the other half", half, of_rest),
        ]

    def synthetic_alarms(self) -> dict[str, object]:
        """Alarms at the scores of normal items: their rate is known for every held-out set."""
        rates = []
        for repetition in range(self.count):
            held = rng(0, "normal scores", repetition).standard_normal(CALIBRATED)
            rates.append(rate_of_alarms(held, self.rate, lambda score: float(norm.sf(score))))
        return self._alarms("false alarms, synthetic, exact rate", CALIBRATED, rates)

    def alarms_of(self, errors: Array) -> dict[str, object]:
        """Alarms of one half of a run's pictures, held against the other half."""
        half, rates = len(errors) // 2, []
        for repetition in range(self.count):
            order = rng(0, "halves", repetition).permutation(len(errors))
            p = conformal_p_values(errors[order[half:]], errors[order[:half]])
            rates.append(float((p <= self.rate).mean()))
        return self._alarms("false alarms, run, random halves", half, rates)

    def _risk(self, means: Array, count: int, true_risk: Array) -> float:
        index = smallest_controlled(means, count, self.miss, self.risk)
        assert index is not None
        return float(true_risk[index])

    def _row(self, promise: str, pictures: int, risks: list[float]) -> dict[str, object]:
        missed = float(np.mean(np.array(risks) > self.miss))
        allowed = self.risk + 3 * math.sqrt(self.risk * (1 - self.risk) / len(risks))
        return row(promise, pictures, risks, missed, allowed)

    def _alarms(self, promise: str, pictures: int, rates: list[float]) -> dict[str, object]:
        allowed = self.rate + 3 * float(np.std(rates, ddof=1)) / math.sqrt(len(rates))
        return row(promise, pictures, rates, float(np.mean(rates)), allowed)


def rate_of_alarms(held_out: Array, rate: float, tail: Callable[[float], float]) -> float:
    """Return the probability of an alarm, given the probability `tail` of a score above a value."""
    ordered = np.sort(held_out)
    # A score between two held-out ones has the p-value of the lower one and all above it.
    p = conformal_p_values(np.append(ordered, np.inf), ordered)
    first = int(np.argmax(p <= rate))
    assert p[first] <= rate, "too few held-out scores"
    return tail(float(ordered[first - 1])) if first else 1.0


def row(promise: str, pictures: int, values: list[float], found: float, allowed: float) -> dict[str, object]:
    """Return a row of the table: mean and worst of expected losses or rates, and what is compared."""
    return {
        "promise": promise,
        "pictures": pictures,
        "mean": float(np.mean(values)),
        "worst": float(np.max(values)),
        "found": found,
        "allowed": allowed,
        "kept": found <= allowed,
    }


if __name__ == "__main__":
    main()
