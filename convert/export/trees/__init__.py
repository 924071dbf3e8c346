"""Trees, forests and boosting as `TreeEnsemble` operators."""

from __future__ import annotations

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from convert.export.trees import boosting, forests, several
from convert.export.writer import Exporters

EXPORTERS: Exporters = {
    DecisionTreeClassifier: forests.classify,
    ExtraTreeClassifier: forests.classify,
    RandomForestClassifier: forests.classify,
    ExtraTreesClassifier: forests.classify,
    DecisionTreeRegressor: forests.regress,
    ExtraTreeRegressor: forests.regress,
    RandomForestRegressor: forests.regress,
    ExtraTreesRegressor: forests.regress,
    IsolationForest: forests.isolate,
    RandomTreesEmbedding: several.embed,
    GradientBoostingClassifier: boosting.classify,
    GradientBoostingRegressor: boosting.regress,
    HistGradientBoostingClassifier: boosting.classify,
    HistGradientBoostingRegressor: boosting.regress,
}
