"""Estimators that are made of other estimators.

Searches, frozen estimators and other wrappers never get here: `convert.export.parts` takes them off before.
"""

from __future__ import annotations

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain

from convert.export.meta import averaging, binary, boosting, calibration, constant, target, targets, thresholds
from convert.export.writer import Exporters

EXPORTERS: Exporters = {
    AdaBoostClassifier: boosting.classify,
    AdaBoostRegressor: boosting.regress,
    BaggingClassifier: averaging.bag,
    BaggingRegressor: averaging.bag_value,
    CalibratedClassifierCV: calibration.calibrate,
    ClassifierChain: targets.chain_labels,
    DummyClassifier: constant.classify,
    DummyRegressor: constant.regress,
    FixedThresholdClassifier: thresholds.fixed,
    MultiOutputClassifier: targets.classify_each,
    MultiOutputRegressor: targets.regress_each,
    OneVsOneClassifier: binary.one_against_one,
    OneVsRestClassifier: binary.one_against_rest,
    OutputCodeClassifier: binary.output_code,
    RegressorChain: targets.chain_values,
    StackingClassifier: averaging.stack,
    StackingRegressor: averaging.stack_value,
    TransformedTargetRegressor: target.regress,
    TunedThresholdClassifierCV: thresholds.tuned,
    VotingClassifier: averaging.vote,
    VotingRegressor: averaging.vote_value,
}
