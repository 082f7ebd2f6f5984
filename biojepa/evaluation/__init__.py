"""Metrics, bootstrap intervals and what a benchmark table is made of."""

from biojepa.evaluation.bootstrap import BootstrapResult, bootstrap_metric
from biojepa.evaluation.metrics import auprc, brier, macro_auc, per_class_auc

__all__ = ["BootstrapResult", "auprc", "bootstrap_metric", "brier", "macro_auc", "per_class_auc"]
