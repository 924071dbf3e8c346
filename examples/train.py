"""Trains the model of the demo on real sensor data: `python examples/train.py --out DIR`.

Writes `model.joblib` (a scikit-learn pipeline), `train.csv` (rows with the target, for `edgekit convert --data`) and
`heldout.csv` (rows that neither training nor conversion has seen, with the target and with this model's own answers,
so that a device's answers can be compared with them).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import joblib
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

ROWS = Path(__file__).parent / "data" / "shuttle.csv.gz"
TARGET = "anomaly"
HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class Variant:
    """What distinguishes two releases of the same model."""

    trees: int
    max_features: int


VARIANTS = {"1.0.0": Variant(trees=100, max_features=3), "1.1.0": Variant(trees=150, max_features=2)}


@dataclass(frozen=True)
class Trained:
    """A fitted pipeline, its training rows and its held-out rows (both with the target)."""

    model: Pipeline
    train: pd.DataFrame
    held_out: pd.DataFrame


def load_rows() -> pd.DataFrame:
    """All rows of the data set: features f1 to f9 and the target."""
    return pd.read_csv(ROWS)


def train(version: str = "1.0.0", seed: int = 0) -> Trained:
    """Fit the pipeline of that version. The split does not depend on the version: releases stay comparable."""
    variant = VARIANTS[version]
    rows, held_out = train_test_split(load_rows(), test_size=HELD_OUT_SHARE, random_state=seed)
    forest = ExtraTreesClassifier(variant.trees, max_features=variant.max_features, random_state=seed, n_jobs=2)
    model = Pipeline([("scale", StandardScaler()), ("forest", forest)])
    model.fit(rows.drop(columns=[TARGET]), rows[TARGET])
    return Trained(model, rows.reset_index(drop=True), held_out.reset_index(drop=True))


def with_answers(trained: Trained) -> pd.DataFrame:
    """The held-out rows with the model's answers: `prediction`, and `probability_<class>` for each class."""
    features = trained.held_out.drop(columns=[TARGET])
    answered = trained.held_out.assign(prediction=trained.model.predict(features))
    probabilities = trained.model.predict_proba(features)
    names = [f"probability_{value}" for value in trained.model.classes_]
    return answered.assign(**dict(zip(names, probabilities.T, strict=True)))


def save(trained: Trained, folder: Path) -> None:
    """Write the three files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(trained.model, folder / "model.joblib")
    trained.train.to_csv(folder / "train.csv", index=False)
    with_answers(trained).to_csv(folder / "heldout.csv", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the forest")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="1.0.0", help="which release to train")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    words = parser.parse_args()
    trained = train(words.variant, words.seed)
    save(trained, words.out)
    answered = with_answers(trained)
    accuracy = (answered["prediction"] == answered[TARGET]).mean()
    facts = {
        "variant": words.variant,
        "estimator": " + ".join(type(step).__name__ for _, step in trained.model.steps),
        "features": list(trained.model.feature_names_in_),
        "rows": len(trained.train),
        "held_out_rows": len(answered),
        "accuracy": round(float(accuracy), 6),
    }
    text = f"{words.variant}: accuracy {accuracy:.4f} on {len(answered)} held-out rows; model and rows in {words.out}"
    print(json.dumps(facts) if words.json else text)


if __name__ == "__main__":
    main()
