"""The patience of ``-early_stopping``, in plain values that a checkpoint can keep."""

from __future__ import annotations

from typing import Any

from onmt.utils.earlystopping import EarlyStopping, PatienceEnum

COUNTS = ("tolerance", "stalled_tolerance", "current_tolerance", "current_step_best")


def fresh_scores(stopper: EarlyStopping) -> None:
    """Forget the best scores, which OpenNMT-py lets all runs of a process share."""
    stopper.early_stopping_scorers = [type(s)() for s in stopper.early_stopping_scorers]


def patience_of(stopper: EarlyStopping) -> dict[str, Any]:
    """Return how much patience is left, and the scores that would have to be beaten."""
    return {
        "status": stopper.status.name,
        "scores": {s.name: float(s.best_score) for s in stopper.early_stopping_scorers},
        **{name: getattr(stopper, name) for name in COUNTS},
    }


def set_patience(stopper: EarlyStopping, patience: dict[str, Any]) -> None:
    """Go on with a ``patience`` of :func:`patience_of`, unless ``-early_stopping`` has changed."""
    if patience["tolerance"] != stopper.tolerance:
        return
    stopper.status = PatienceEnum[patience["status"]]
    for scorer in stopper.early_stopping_scorers:
        scorer.best_score = patience["scores"].get(scorer.name, scorer.best_score)
    for name in COUNTS:
        setattr(stopper, name, patience[name])
