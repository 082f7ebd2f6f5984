"""Steps and features of Signal-JEPA: `python -m tests.benchmarks.bench_eeg`.

62 channels x 4.19 s (248 tokens), 2 threads. Against `straightforward_eeg`, which computes every
token with braindecode's modules:

- the published network, dropout 0.1 on both sides, float32: what dropping masked tokens, asking the
  predictor only for masked ones and sharing the local features brings;
- the `small` preset, dropout 0 and bf16 as it is trained, over the same sizes with the published
  dropout: shown apart, since the networks differ in dropout;
- frozen features of `small`, in float32 and bf16.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from biojepa.data.montage import standard_xyz
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.model import build_jepa
from biojepa.eeg.recipes import get_recipe
from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.engine.train import train
from biojepa.estimators.features import extract_features
from tests.benchmarks.measure import alternate, bar, clock, ratio, report, seconds, threads_asked
from tests.benchmarks.straightforward_eeg import StraightforwardSJEPA, make_optimizer, train_step
from tests.eeg.published import spatial_blocks

N_TIMES, STEPS, WARM, PAIRS, RECORDS = 536, 2, 1, 3, 64
BATCH = {"published": 8, "small": 32, "features": 32}
TARGETS = {"published": 1.3, "small": 2.5}
MOMENTUM = 0.999


def config_of(recipe: str, n_channels: int = 62, n_times: int = N_TIMES) -> EEGModelConfig:
    """The model of a recipe on the first channels of the published cap."""
    names = spatial_blocks()["montages"]["lee62"]["channels"][:n_channels]
    places = map(tuple, standard_xyz(names).tolist())
    return get_recipe(recipe).config(dict(zip(names, places, strict=True))).for_window(n_times)


def published() -> EEGModelConfig:
    """The published network; targets of the last layer, as the straightforward loop has them."""
    return replace(config_of("paper"), target_layers=1)


def plain_model(jepa: MaskedJEPA, *, dropout: float) -> StraightforwardSJEPA:
    """The straightforward form of a model, with its weights."""
    config = jepa.encoder.config
    plain = StraightforwardSJEPA(
        dict(zip(config.channels, config.positions, strict=True)),
        config.n_times,
        depth=config.depth,
        heads=config.heads,
        pred_depth=config.pred_depth,
        hidden=config.hidden,
        dropout=dropout,
        norm_targets=config.target_norm == "layernorm",
    )
    for name in ("feature_encoder", "pos_encoder"):
        own = getattr(jepa.encoder, name).state_dict()
        getattr(plain.network, name).load_state_dict(own)
    plain.network.transformer.encoder.load_state_dict(
        jepa.encoder.contextual.transformer.state_dict()
    )
    plain.network.transformer.decoder.load_state_dict(jepa.predictor.transformer.state_dict())
    plain.target.load_state_dict(jepa.target_encoder.transformer.state_dict())
    plain.mask_query.data.copy_(jepa.predictor.mask_query.data)
    return plain


def masked_of(plan: MaskPlan, n_tokens: int) -> torch.Tensor:
    """Which tokens are not seen, (B, N)."""
    there = plan.context_valid
    there = torch.ones_like(plan.context, dtype=torch.bool) if there is None else there
    rows, places = there.nonzero(as_tuple=True)
    masked = torch.ones(len(plan.context), n_tokens, dtype=torch.bool)
    masked[rows, plan.context[rows, places]] = False
    return masked


class NoiseRecords:
    """Windows that are ready in memory: reading is measured elsewhere."""

    def __init__(self, batch: int, n_channels: int = 62) -> None:
        rng = torch.Generator().manual_seed(0)
        self.batch = batch
        self.values = 10 * torch.randn(2 * batch, n_channels, N_TIMES, generator=rng)
        self.times: list[float] = []  # when each step began

    def __len__(self) -> int:
        return len(self.values)

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        """The windows of these numbers."""
        self.times.append(clock())
        return Signals(self.values[torch.from_numpy(indices)])


def ours(config: EEGModelConfig, data: NoiseRecords, precision: str) -> float:
    """Seconds of one engine step."""
    training = TrainConfig(
        steps=WARM + STEPS,
        batch_size=data.batch,
        precision=precision,
        device="cpu",
        warmup_steps=1,
        log_every=100,
        diagnose_every=0,
    )
    data.times = []
    train(build_jepa(config), data, training, progress=False)
    return (clock() - data.times[WARM]) / STEPS


def plain(config: EEGModelConfig, data: NoiseRecords, dropout: float) -> float:
    """Seconds of one straightforward step."""
    model = plain_model(build_jepa(config), dropout=dropout)
    optimizer, sampler = make_optimizer(model, 1e-3, 0.01), config.sampler()
    rng, n_tokens = np.random.default_rng(0), len(config.channels) * config.n_steps

    def steps(n: int) -> None:
        for step in range(n):
            x = data.values[(start := step % 2 * data.batch) : start + data.batch]
            masked = masked_of(sampler(data.batch, rng)[0], n_tokens)
            train_step(model, optimizer, x, masked, MOMENTUM)

    steps(WARM)
    return seconds(lambda: steps(STEPS)) / STEPS


def features(jepa: MaskedJEPA, records: list[np.ndarray], precision: str) -> np.ndarray:
    """Features as the estimator makes them."""
    return extract_features(
        jepa,
        records,
        window=N_TIMES,
        shortest=1,
        pool="mean_std",
        layers=[-1],
        batch_size=BATCH["features"],
        precision=precision,
        positions=jepa.encoder.xyz,
    )


def plain_features(model: StraightforwardSJEPA, records: list[np.ndarray]) -> np.ndarray:
    """Features of the straightforward form."""
    size = BATCH["features"]
    batches = [np.stack(records[i : i + size]) for i in range(0, len(records), size)]
    return np.concatenate([model.features(torch.from_numpy(b)).numpy() for b in batches])


def main() -> dict:
    """Measure and report."""
    threads_asked()
    warnings.simplefilter("ignore")  # of torch's nested tensors, inside braindecode's modules
    large, small = published(), config_of("small")
    wide, data = (NoiseRecords(BATCH[name]) for name in ("published", "small"))
    sides: dict[str, Callable[[], float]] = {
        "published, straightforward": lambda: plain(large, wide, large.dropout),
        "published, ours": lambda: ours(large, wide, "32-true"),
        "small, straightforward, dropout 0.1": lambda: plain(small, data, large.dropout),
        "small, straightforward, dropout 0": lambda: plain(small, data, 0.0),
        "small, ours, fp32": lambda: ours(small, data, "32-true"),
        "small, ours, bf16": lambda: ours(small, data, "bf16-mixed"),
    }
    steps = alternate(sides, PAIRS)
    jepa = build_jepa(small).eval()
    model = plain_model(jepa, dropout=large.dropout).eval()
    rng = np.random.default_rng(0)
    records = list(10 * rng.standard_normal((RECORDS, 62, N_TIMES), dtype=np.float32))
    some = records[:8]
    exact = plain_features(model, some)
    error = {p: np.abs(features(jepa, some, p) - exact).max() for p in ("fp32", "bf16")}
    frozen = alternate(
        {
            "features, straightforward": lambda: seconds(lambda: plain_features(model, records)),
            "features, ours, fp32": lambda: seconds(lambda: features(jepa, records, "fp32")),
            "features, ours, bf16": lambda: seconds(lambda: features(jepa, records, "bf16")),
        },
        PAIRS,
    )
    rows = [["62 channels x 4.19 s", "windows/s", "ratio", "least", "largest"]]
    against: dict[str, dict[str, float]] = {}
    speeds = {n: [BATCH[n.split(",")[0]] / s for s in times] for n, times in steps.items()}
    speeds |= {name: [RECORDS / s for s in times] for name, times in frozen.items()}
    for name, found in speeds.items():
        baseline = next(n for n in speeds if n.split(",")[0] == name.split(",")[0])
        against[name] = ratio(found, speeds[baseline])
        own = against[name]
        rows.append([name, float(np.median(found)), own["median"], own["min"], own["max"]])
    result = {
        "windows_per_s": speeds,
        "against_straightforward": against,
        "largest_difference": {name: float(value) for name, value in error.items()},
        "ratios": {
            "pretraining Signal-JEPA, fp32, same dropout, over braindecode's modules": bar(
                against["published, ours"]["median"], TARGETS["published"]
            ),
            "pretraining `small` EEG (dropout 0), over the same sizes with dropout 0.1": bar(
                against["small, ours, bf16"]["median"], TARGETS["small"]
            ),
            "features of `small` EEG, fp32, over braindecode's modules": bar(
                against["features, ours, fp32"]["median"], 1.0, applies=False
            ),
            "features of `small` EEG, bf16, over braindecode's modules": bar(
                against["features, ours, bf16"]["median"], 1.0, applies=False
            ),
        },
    }
    return report("bench_eeg", "Signal-JEPA", rows, result)


if __name__ == "__main__":
    main()
