"""The matched control: a masked autoencoder with everything else as in ECG-JEPA.

The same encoder, masks, windows, steps, batch and optimiser as the preset; the predictor, at its
size, becomes the decoder. What differs is the question: the hidden patches themselves, each
normalised over its samples and leads, under mean squared error, instead of the momentum encoder's
view of them. There is then no momentum encoder and nothing that could collapse, so no regulariser.

In the engine it is a `MaskedJEPA` with `Target(of="signal")`: loop, masks, features, folders,
classifiers and continued pretraining are the same code. Leads that are masked or blanked count as
zeros, in the patches as in the input.

References
----------
He et al. 2022, Masked autoencoders are scalable vision learners, arXiv:2111.06377.
"""

from __future__ import annotations

from typing import Any

from biojepa.ecg._encoder_file import read_encoder
from biojepa.ecg.estimator import ECGJEPA
from biojepa.errors import ConfigError

# settings of `ECGModelConfig`, whatever the preset
MAE_SETTINGS: dict[str, Any] = {
    "predicts": "signal",
    "target_norm": "layernorm",  # of each patch, without learned weights
    "target_layers": 1,
    "loss": "mse",
    "regulariser": "none",
    "record_weight": 0.0,
    "downstream": "context",
}


class ECGMAE(ECGJEPA):
    """Pretrain a masked autoencoder on recordings and turn recordings into features.

    Parameters, attributes and methods are those of `ECGJEPA`; what belongs to the objective
    (`regulariser`, and the settings of `MAE_SETTINGS` in `model`) cannot be set.

    Examples
    --------
    >>> from biojepa.data.simulate import simulate_ecg
    >>> from biojepa.ecg.mae import ECGMAE
    >>> cohort = simulate_ecg(40, rate_hz=250, random_state=0)
    >>> mae = ECGMAE(preset="tiny", fs=250, leads=cohort.leads, random_state=0)
    >>> mae.fit(cohort.values).transform(cohort.values).shape
    (40, 64)
    """

    def fit(self, X: Any, y: Any = None) -> ECGMAE:
        """Pretrain on unlabelled recordings; see `ECGJEPA.fit`."""
        if self.init is not None:
            start = read_encoder(self.init, verify=self.verify)[0]
            if start.config.predicts != "signal":
                raise ConfigError(
                    f"expected a masked autoencoder in init=, got an ECG-JEPA in {self.init}: go "
                    "on from it with ECGJEPA(init=...)"
                )
        super().fit(X, y)
        return self

    def _model_settings(self) -> dict[str, Any]:
        options = super()._model_settings()
        taken = sorted(options.keys() & MAE_SETTINGS.keys())
        if taken:
            raise ConfigError(
                f"expected no {', '.join(taken)} for a masked autoencoder, which sets it itself"
            )
        return options if self.init is not None else MAE_SETTINGS | options
