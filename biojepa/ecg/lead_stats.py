"""Amplitude constants of a dataset, lead by lead, as published pipelines normalise with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biojepa.data.leads import canonical_lead, canonical_leads
from biojepa.errors import LeadError


@dataclass(frozen=True)
class LeadStats:
    """Mean and standard deviation of every lead of a dataset, millivolt.

    Parameters
    ----------
    leads : tuple of str
        In the order of the source (MIMIC-IV-ECG has aVF before aVL).
    mean, std : tuple of float
    """

    leads: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def order(self, leads: Sequence[str]) -> list[int]:
        """Where each of `leads` stands in this dataset, by name.

        Raises
        ------
        LeadError
            If the dataset lacks one.
        """
        own = canonical_leads(self.leads, where="dataset constants")
        missing = [lead for lead in leads if canonical_lead(lead) not in own]
        if missing:
            raise LeadError(
                f"expected constants for {', '.join(leads)}, got none for {', '.join(missing)} "
                f"(the dataset has {', '.join(own)}): choose other leads or another normalisation"
            )
        return [own.index(canonical_lead(lead)) for lead in leads]
