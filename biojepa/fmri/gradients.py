"""Connectivity gradients: where a region stands among the others, by how it is connected.

A diffusion map of the similarity of connectivity profiles. Of every region's row only the strongest
entries are kept (the top 10 %); rows are compared by their normalised angle
`1 - arccos(cosine) / pi`; the affinity W is divided by the degrees to the power alpha and made a
random walk P = D^-1 W. Its eigenvectors after the constant one, scaled so that the constant one is
1 and multiplied by lambda / (1 - lambda), are the gradients.

The eigenproblem is solved exactly, as the symmetric D^-1/2 W D^-1/2. The widely used toolbox gives
the non-symmetric P to a symmetric iterative solver instead, whose answer depends on the start
vector and is no exact eigenvector; `compat="brainspace"` does the same. Both keep
`int(n (1 - sparsity))` entries of a row, 39 of 400 for 0.9: which entries are kept matters far more
than the solver. Signs: the largest entry of a gradient is positive.

Letters: R regions, G gradients, T frames.

References
----------
Margulies et al. 2016, PNAS 113:12574. Coifman & Lafon 2006, Appl Comput Harmon Anal 21:5.
Vos de Wael et al. 2020, Commun Biol 3:103 (the toolbox). Dong et al. 2024, arXiv:2409.19407.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh, orthogonal_procrustes
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from biojepa.errors import ConfigError, DataError
from biojepa.estimators.labels import draw_seed
from biojepa.fmri.connectivity import average_connectivity, is_connectivity

Affinity = Literal["normalized_angle", "cosine", "pearson", "none", "precomputed"]
LEAST_KEPT = 5  # ours: fewer neighbours tear small atlases apart


class BrainGradients(BaseEstimator):
    """Connectivity gradients of any atlas.

    Parameters
    ----------
    n_components : int
        Gradients; at most one less than there are regions.
    affinity : {"normalized_angle", "cosine", "pearson", "none", "precomputed"}
        How rows of the sparse connectivity are compared. `"none"` takes the connectivity itself,
        `"precomputed"` says that `X` is the affinity already.
    sparsity : float
        Share of each row that is set to zero, the weakest entries.
    n_keep : int, optional
        Entries kept in each row, in place of `sparsity`; else at least 5.
    alpha : float
        Influence of the sampling density: 0 (Laplacian), 0.5 (Fokker-Planck), 1
        (Laplace-Beltrami).
    diffusion_time : float
        0 scales by lambda / (1 - lambda), t > 0 by lambda ** t.
    compat : {None, "brainspace"}
        The exact solution, or that of the toolbox.
    reference : array, shape (R, G), optional
        Gradients that the result is rotated to (orthogonal Procrustes); for comparing people.
    random_state : int, RandomState, Generator or None
        Of the start vector of `compat="brainspace"`; the exact solution draws nothing.

    Attributes
    ----------
    gradients_ : ndarray, shape (R, G)
    lambdas_ : ndarray, shape (G,)
        lambda / (1 - lambda), or lambda ** t.
    connectivity_ : ndarray, shape (R, R), or None
        The (average) correlation matrix that was used.
    affinity_ : ndarray, shape (R, R)
    unaligned_ : ndarray, shape (R, G)
        Before the rotation to `reference`.
    n_features_in_ : int
        R.

    Examples
    --------
    >>> import numpy as np
    >>> from biojepa.fmri import BrainGradients
    >>> runs = [np.random.default_rng(i).standard_normal((80, 20)) for i in range(3)]
    >>> BrainGradients(n_components=4).fit(runs).gradients_.shape
    (20, 4)
    """

    def __init__(
        self,
        *,
        n_components: int = 30,
        affinity: Affinity = "normalized_angle",
        sparsity: float = 0.9,
        n_keep: int | None = None,
        alpha: float = 0.5,
        diffusion_time: float = 0.0,
        compat: Literal["brainspace"] | None = None,
        reference: ArrayLike | None = None,
        random_state: Any = 0,
    ) -> None:
        self.n_components = n_components
        self.affinity = affinity
        self.sparsity = sparsity
        self.n_keep = n_keep
        self.alpha = alpha
        self.diffusion_time = diffusion_time
        self.compat = compat
        self.reference = reference
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any = None, *, region_names: Sequence[str] | None = None
    ) -> BrainGradients:
        """Compute the gradients.

        Parameters
        ----------
        X : array (R, R), array (T, R), list of arrays (T, R), or array (n, T, R)
            A symmetric connectivity (or affinity) matrix; or the series of one run; or of several
            runs, whose correlations are averaged (Fisher z; regions that are flat in some runs,
            over the others).
        y : ignored
        region_names : sequence of str, optional
            For the messages.

        Returns
        -------
        BrainGradients

        Raises
        ------
        DataError
            If a region has no connectivity, a value is not finite, or the affinity graph falls
            apart.
        ConfigError
            If a setting is out of range.
        """
        self._check()
        matrix = self._connectivity(X, region_names)
        R = len(matrix)
        self.n_features_in_ = R
        if not 1 <= self.n_components < R:
            raise ConfigError(
                f"expected n_components of 1 to {R - 1} for {R} regions, got {self.n_components}"
            )
        if self.affinity == "precomputed":
            self.connectivity_, affinity = None, matrix
        else:
            self.connectivity_ = matrix
            affinity = connectivity_affinity(
                matrix, kernel=self.affinity, n_keep=self._kept(R), region_names=region_names
            )
        _check_affinity(affinity, region_names)
        self.affinity_ = affinity
        solve = _diffusion_compat if self.compat else _diffusion_exact
        vectors, values = solve(affinity, self.n_components, self.alpha, self._start(R))
        t = self.diffusion_time
        self.lambdas_ = values**t if t > 0 else values / (1.0 - values)
        gradients = vectors * self.lambdas_
        peak = gradients[np.abs(gradients).argmax(axis=0), np.arange(gradients.shape[1])]
        self.unaligned_ = gradients * np.where(peak < 0, -1.0, 1.0)
        self.gradients_ = self._aligned(self.unaligned_)
        return self

    def align(self, reference: ArrayLike) -> NDArray[np.float64]:
        """The gradients rotated to others of the same shape (orthogonal Procrustes).

        Raises
        ------
        DataError
            If the shapes differ.
        """
        check_is_fitted(self)
        return _rotated(self.unaligned_, reference)

    def _check(self) -> None:
        if self.affinity not in get_args(Affinity):
            raise ConfigError(f"expected affinity in {get_args(Affinity)}, got {self.affinity!r}")
        if self.compat not in (None, "brainspace"):
            raise ConfigError(f"expected compat None or 'brainspace', got {self.compat!r}")
        if not (0 <= self.sparsity < 1 and 0 <= self.alpha <= 1 and self.diffusion_time >= 0):
            raise ConfigError(
                "expected 0 <= sparsity < 1, 0 <= alpha <= 1 and diffusion_time >= 0, got "
                f"{self.sparsity}, {self.alpha} and {self.diffusion_time}"
            )

    def _connectivity(self, X: Any, names: Sequence[str] | None) -> NDArray[np.float64]:
        if isinstance(X, np.ndarray) and is_connectivity(X):
            matrix = np.asarray(X, dtype=np.float64)
            _check_finite(matrix, names)
            return matrix
        if self.affinity == "precomputed":
            raise DataError(
                "expected a symmetric affinity matrix (regions, regions) with "
                f"affinity='precomputed', got {_described(X)}"
            )
        return average_connectivity(X, region_names=names)

    def _kept(self, n_regions: int) -> int:
        if self.n_keep is not None:
            if not 1 <= self.n_keep <= n_regions:
                raise ConfigError(f"expected n_keep of 1 to {n_regions}, got {self.n_keep}")
            return self.n_keep
        return min(n_regions, max(LEAST_KEPT, int(n_regions * (1 - self.sparsity))))

    def _start(self, n_regions: int) -> NDArray[np.float64]:
        if self.compat is None:
            return np.empty(0)
        seed = draw_seed(self.random_state)
        return np.random.RandomState(seed).uniform(-1, 1, n_regions)

    def _aligned(self, gradients: NDArray[np.float64]) -> NDArray[np.float64]:
        return gradients if self.reference is None else _rotated(gradients, self.reference)


def connectivity_affinity(
    connectivity: NDArray[np.float64],
    *,
    kernel: str,
    n_keep: int,
    region_names: Sequence[str] | None = None,
) -> NDArray[np.float64]:
    """Similarity of the regions' strongest connections, not negative, shape (R, R).

    Parameters
    ----------
    connectivity : ndarray, shape (R, R)
    kernel : {"normalized_angle", "cosine", "pearson", "none"}
    n_keep : int
        Entries kept in each row, the largest.
    region_names : sequence of str, optional

    Raises
    ------
    DataError
        If a row has nothing to compare.
    """
    strongest = np.argsort(connectivity, axis=1, kind="stable")[:, -n_keep:]
    sparse = np.zeros_like(connectivity)
    np.put_along_axis(
        sparse, strongest, np.take_along_axis(connectivity, strongest, axis=1), axis=1
    )
    if kernel == "none":
        affinity = np.maximum(sparse, sparse.T)
        return np.maximum(affinity, 0.0)
    if kernel == "pearson":
        sparse = sparse - sparse.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(sparse, axis=1, keepdims=True)
    if not (norm > 0).all():
        empty = _named(norm[:, 0] == 0, region_names)
        raise DataError(
            f"expected connections in every row, got none for {empty}: leave these regions out"
        )
    unit = sparse / norm
    cosine = np.clip(unit @ unit.T, -1.0, 1.0)
    np.fill_diagonal(cosine, 1.0)  # arccos near 1 would turn rounding into 1e-8
    if kernel == "normalized_angle":
        cosine = 1.0 - np.arccos(cosine) / np.pi
    return np.maximum((cosine + cosine.T) / 2, 0.0)


def _walk(affinity: NDArray[np.float64], alpha: float) -> tuple[NDArray, NDArray]:
    """The density-corrected affinity and its degrees."""
    degree = affinity.sum(axis=1)
    weighted = affinity / np.outer(degree, degree) ** alpha
    return weighted, weighted.sum(axis=1)


def _diffusion_exact(
    affinity: NDArray, n: int, alpha: float, start: NDArray
) -> tuple[NDArray, NDArray]:
    weighted, degree = _walk(affinity, alpha)
    symmetric = weighted / np.sqrt(np.outer(degree, degree))
    last = len(affinity) - 1
    values, vectors = eigh((symmetric + symmetric.T) / 2, subset_by_index=[last - n, last])
    values, vectors = values[::-1], vectors[:, ::-1]
    return (vectors / vectors[:, :1])[:, 1:], values[1:]


def _diffusion_compat(
    affinity: NDArray, n: int, alpha: float, start: NDArray
) -> tuple[NDArray, NDArray]:
    """A symmetric Lanczos solver on the non-symmetric walk, as the toolbox has it."""
    weighted, degree = _walk(affinity, alpha)
    values, vectors = eigsh(weighted / degree[:, None], k=n + 1, v0=start)
    order = values.argsort()[::-1]
    values, vectors = values[order], vectors[:, order]
    return (vectors / vectors[:, :1])[:, 1:], values[1:]


def _check_affinity(affinity: NDArray[np.float64], names: Sequence[str] | None) -> None:
    if (affinity < 0).any():
        raise DataError("expected an affinity without negative entries, got some below 0")
    alone = affinity.sum(axis=1) - affinity.diagonal() <= 0
    if alone.any():
        raise DataError(
            f"expected every region to resemble another, got none for {_named(alone, names)}: "
            "leave these regions out, or lower sparsity"
        )
    n_pieces, piece = connected_components(affinity > 0, directed=False)
    if n_pieces > 1:
        smallest = np.bincount(piece).argmin()
        raise DataError(
            f"expected one connected graph of regions, got {n_pieces} pieces, the smallest of "
            f"{_named(piece == smallest, names)}: lower sparsity (or raise n_keep)"
        )


def _check_finite(matrix: NDArray, names: Sequence[str] | None) -> None:
    bad = ~np.isfinite(matrix)
    if bad.any():
        empty = bad.sum(axis=1) >= len(matrix) - 1
        raise DataError(
            "expected finite connectivity, got NaN or infinity in the rows of "
            f"{_named(empty if empty.any() else bad.any(axis=1), names)}: leave these regions out "
            "(flat or missing regions have no correlations)"
        )


def _rotated(gradients: NDArray[np.float64], reference: ArrayLike) -> NDArray[np.float64]:
    target = np.asarray(reference, dtype=np.float64)
    if target.shape != gradients.shape:
        raise DataError(
            f"expected reference gradients of shape {gradients.shape}, got {target.shape}"
        )
    rotation, _ = orthogonal_procrustes(gradients, target)
    return gradients @ rotation


def _named(rows: NDArray[np.bool_], names: Sequence[str] | None) -> str:
    places = np.flatnonzero(rows).tolist()
    text = [str(i) if names is None else str(names[i]) for i in places[:8]]
    more = f" and {len(places) - 8} more" if len(places) > 8 else ""
    return f"{'regions' if names is None else 'the regions'} {', '.join(text)}{more}"


def _described(X: Any) -> str:
    shape = getattr(X, "shape", None)
    return f"shape {shape}" if shape is not None else type(X).__name__
