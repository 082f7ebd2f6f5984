"""What a benchmark says in words: verdict, data and settings, and what it does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biojepa.ecg.benchmark_data import BenchmarkData, Unlabelled
from biojepa.ecg.benchmark_rows import HEADLINE
from biojepa.evaluation.protocol import Protocol
from biojepa.evaluation.provenance import code_state
from biojepa.evaluation.table import RowResult
from biojepa.evaluation.verdict import verdict


def verdict_of(results: Sequence[RowResult], data: BenchmarkData, protocol: Protocol) -> str:
    """The sentence on the headline row, or on the first JEPA row if that was not run."""
    own = [r for r in results if r.name == HEADLINE] or [r for r in results if r.kind == "jepa"]
    best = [r for r in results if r.kind == "classical" and r.difference is None]
    if not own or not best or own[0].difference is None:
        return "No verdict: it takes a JEPA row and a classical row, and one was not run."
    patients = len(set(data.labelled.groups[protocol.test].tolist()))
    what = f"these {len(protocol.test):,} records of {patients:,} patients ({data.title})"
    return verdict(own[0].title, best[0].title, own[0].difference, what=what)


def facts(
    data: BenchmarkData,
    protocol: Protocol,
    settings: Mapping[str, Any],
    pretraining: Unlabelled | None,
) -> dict[str, Any]:
    """Data, protocol, settings and code behind the numbers; JSON-able."""
    labelled = data.labelled
    return {
        "data": data.title,
        "records": len(data),
        "patients": len(set(labelled.groups.tolist())),
        "positives": dict(
            zip(labelled.classes, labelled.y.sum(0).astype(int).tolist(), strict=True)
        ),
        "leads, rate": f"{', '.join(data.leads)}; {data.rate_hz:g} Hz",
        "sha256 of the data": labelled.fingerprint(),
        "protocol": protocol.text,
        "pretraining": "the training part of each split"
        if pretraining is None
        else f"{len(pretraining):,} records of {pretraining.source}",
        "sha256 of the pretraining data": None if pretraining is None else pretraining.fingerprint,
        "settings": dict(settings),
        **code_state(),
    }


def limits(
    data: BenchmarkData,
    protocol: Protocol,
    n_seeds: int,
    pretraining: Unlabelled | None,
) -> list[str]:
    """What the numbers do not show, in sentences."""
    rarest = data.labelled.y[protocol.test].sum(0)
    least = int(rarest.argmin())
    found = [
        f"{len(protocol.test):,} judged records; the rarest class, {data.labelled.classes[least]}, "
        f"has {rarest[least]:.0f} positives among them: nothing can be said about single classes "
        "beyond their intervals.",
        "Intervals are over patients of this set. They do not cover another hospital, another "
        "device or another year.",
        f"{n_seeds} seeds: their spread is shown, no test is made of it."
        if n_seeds > 1
        else "One seed: how far another would differ was not measured.",
        "The strongest classical row was chosen on the judged records, which favours it.",
    ]
    n_folds = len(protocol.splits)
    n_few = int((rarest < n_folds).sum()) if n_folds > 1 else 0
    if n_few:
        found.append(
            f"{n_few} of {len(rarest)} classes have fewer positives than there are folds: models "
            "that have seen none or fewer of them score those that are left, so that out of fold "
            "even chance lies below one half."
        )
    if not data.simulated:
        found.append(
            "ours and paper: the publication reports 0.945 on all 71 statements (arXiv 2410.13867, "
            "pretraining on more than a million records, fold 10 of all of PTB-XL); that number "
            "and those above are of other tasks, records and budgets and cannot be compared."
        )
    if pretraining is not None and pretraining.units == "arbitrary":
        found.append("The unlabelled records have lost their amplitude (z-scores).")
    if len(protocol.splits) > 1:
        found.append(
            "Out-of-fold scores of several models are judged together; published figures are of "
            "one model on one fold."
        )
    return found
