"""Feature maps: components, colours by label and group, odd labels."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest

from biojepa.errors import ConfigError, DataError, MissingDependencyError
from biojepa.plotting.embedding import plot_embedding


@pytest.fixture
def features() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((60, 8)) * [5, 3, 1, 1, 1, 1, 1, 1]


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def points(ax) -> np.ndarray:
    at = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections])
    return at[np.lexsort(at.T)]


def test_the_axes_are_the_principal_components_with_their_variance(features):
    ax = plot_embedding(features).axes[0]
    centred = features - features.mean(axis=0)
    variance = np.linalg.eigvalsh(np.cov(centred.T))[::-1]
    at = points(ax)
    assert at.var(axis=0, ddof=1) == pytest.approx(variance[:2])
    assert (
        ax.get_xlabel() == f"component 1 ({100 * variance[0] / variance.sum():.0f} % of variance)"
    )
    assert ax.get_ylabel().startswith("component 2")


def test_the_sign_of_a_component_does_not_depend_on_chance(features):
    # the feature with the largest loading points to the right
    ax = plot_embedding(features, labels=features[:, 0] > 0).axes[0]
    by_label = {c.get_label().split(":")[0]: c.get_offsets() for c in ax.collections}
    assert by_label["True"][:, 0].mean() > 0 > by_label["False"][:, 0].mean()
    shuffled = np.random.default_rng(1).permutation(60)
    assert points(plot_embedding(features[shuffled]).axes[0]) == pytest.approx(
        points(plot_embedding(features).axes[0])
    )


def test_labels_and_groups_have_a_panel_each_over_the_same_points(features):
    site = np.array(["Basel", "Bern", "Zug"])[np.arange(60) % 3]
    figure = plot_embedding(features, labels=np.arange(60) % 2, groups=site, classes=("no", "yes"))
    by_label, by_group = figure.axes
    assert legend(by_label) == ["no: 30", "yes: 30"]
    assert legend(by_group) == ["Basel: 20", "Bern: 20", "Zug: 20"]
    assert points(by_label) == pytest.approx(points(by_group))


def test_groups_alone_have_one_panel(features):
    assert len(plot_embedding(features, groups=np.arange(60) % 4).axes) == 1


def test_several_labels_and_none_are_named_so(features):
    y = np.zeros((60, 3))
    y[:20, 0] = 1
    y[10:30, 1] = 1
    y[30:35, 2] = np.nan
    ax = plot_embedding(features, labels=y, classes=("NORM", "MI", "CD")).axes[0]
    assert legend(ax) == ["NORM: 10", "MI: 10", "none: 30", "several: 10"]


def test_unknown_labels_are_grey_and_kept(features):
    labels = np.where(np.arange(60) < 5, np.nan, np.arange(60) % 2)
    assert legend(plot_embedding(features, labels=labels).axes[0]) == [
        "0: 27",
        "1: 28",
        "unknown: 5",
    ]


def test_the_rarest_of_many_groups_are_put_together(features):
    ax = plot_embedding(features, groups=np.arange(60) // 4).axes[0]
    assert len(legend(ax)) == 11
    assert legend(ax)[-1] == "other (5 more): 20"
    assert len(points(ax)) == 60


def test_no_two_classes_share_colour_and_marker(features):
    ax = plot_embedding(features, labels=np.arange(60) % 10).axes[0]
    looks = [
        (tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in ax.collections
    ]
    assert len(set(looks)) == 10


def test_fractional_numbers_get_a_colour_bar(features):
    figure = plot_embedding(features, labels=features[:, 0])
    assert len(figure.axes) == 2
    assert figure.axes[0].get_legend() is None


def test_two_columns_one_column_and_constant_features_are_drawn(features):
    for values in (features[:, :2], features[:, :1], np.ones((5, 3))):
        figure = plot_embedding(values)
        assert np.isfinite(points(figure.axes[0])).all()
        figure.savefig(io.BytesIO(), dpi=40)


def test_umap_is_drawn_or_its_extra_is_named(features):
    if importlib.util.find_spec("umap") is None:
        with pytest.raises(MissingDependencyError, match=r"pip install biojepa\[bench\]"):
            plot_embedding(features, method="umap")
    else:
        assert plot_embedding(features, method="umap").axes[0].get_xlabel() == "UMAP 1"


def test_what_cannot_be_drawn_is_refused(features):
    with pytest.raises(DataError, match="60 labels"):
        plot_embedding(features, labels=[0, 1])
    with pytest.raises(DataError, match="finite features"):
        plot_embedding(np.full((5, 2), np.nan))
    with pytest.raises(DataError, match="3 names in classes"):
        plot_embedding(features, labels=np.zeros((60, 3)), classes=("a", "b"))
    with pytest.raises(ConfigError, match="pca"):
        plot_embedding(features, method="tsne")  # type: ignore[arg-type]
