"""Several databases in one run: weights, constants, resume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.data.cards import load_card
from biojepa.data.leads import STANDARD_12
from biojepa.data.mixed_records import MixedRecords
from biojepa.data.recording import Recording
from biojepa.data.records import StoreRecords
from biojepa.data.safe_yaml import load_yaml
from biojepa.data.simulate import simulate_ecg
from biojepa.data.store import SignalStore
from biojepa.data.store_writer import StoreWriter
from biojepa.ecg.inputs import ECGInputs, ECGWindows
from biojepa.ecg.mixture import MixedInputs, pooled_road, published_road, published_weights
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.ecg.pretrain import pretrain
from biojepa.ecg.recipes import PAPER_DATASETS, get_recipe
from biojepa.engine.randomness import BatchKey
from biojepa.errors import ConfigError

FORMS = {"ptb-xl": (500, 10.0), "code-15": (400, 10.24), "st-petersburg": (257, 30.0)}


def make_store(folder, name, *, n_records=6, highpass_hz=None, leads=STANDARD_12):
    """A store as `biojepa prepare NAME` writes it, of simulated records."""
    rate_hz, duration_s = FORMS[name]
    cohort = simulate_ecg(n_records, rate_hz=rate_hz, duration_s=duration_s, random_state=rate_hz)
    recipe = {"database": {"name": name}}
    recipe |= {} if highpass_hz is None else {"highpass_hz": highpass_hz}
    with StoreWriter(folder / name, channels=leads, recipe=recipe) as writer:
        for k, values in enumerate(cohort.values[:, : len(leads)]):
            writer.add(Recording(values, leads, float(rate_hz), record_id=f"r{k}"))
    return folder / name


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixture")
    return [make_store(folder, name) for name in FORMS]


@pytest.fixture
def mixed(stores):
    return MixedRecords([StoreRecords(SignalStore(s)) for s in stores], list(FORMS))


def key(rows, step=3, size=8):
    return BatchKey(0, step, np.asarray(rows), size)


def test_each_database_has_its_published_constants_and_high_pass(mixed):
    roads = [published_road(part, leads=STANDARD_12, rate_hz=500.0) for part in mixed.parts]
    for name, road in zip(FORMS, roads, strict=True):
        norm = load_card(name).normalisation
        assert road.std == norm.std
        assert road.resample == "fft"
    assert [road.bandpass_hz for road in roads] == [None, (0.5, None), (0.5, None)]
    assert roads[0].mean[0] == -0.002


@pytest.mark.parametrize("name", list(PAPER_DATASETS))
def test_every_published_database_has_a_road(name, tmp_path):
    recipe = {"database": {"name": name}}
    with StoreWriter(tmp_path, channels=STANDARD_12, recipe=recipe) as writer:
        writer.add(Recording(np.ones((12, 100), np.float32), STANDARD_12, 500.0, record_id="r"))
    records = StoreRecords(SignalStore(tmp_path))
    road = published_road(records, leads=("V1", "aVL", "I"), rate_hz=500.0)
    card = load_card("cpsc" if name == "cpsc-extra" else name)  # as the published code has it
    where = [[lead.lower() for lead in card.leads].index(lead) for lead in ("v1", "avl", "i")]
    assert road.std == tuple(card.normalisation.std[i] for i in where)


def test_a_baseline_that_was_removed_for_good_is_not_removed_again(tmp_path):
    done = StoreRecords(SignalStore(make_store(tmp_path, "code-15", highpass_hz=0.5)))
    assert published_road(done, leads=STANDARD_12, rate_hz=500.0).bandpass_hz is None
    other = StoreRecords(SignalStore(make_store(tmp_path / "x", "code-15", highpass_hz=1.0)))
    assert published_road(other, leads=STANDARD_12, rate_hz=500.0) is None


def test_the_pooled_constants_are_those_of_a_weighted_draw():
    road = ECGPreprocess(leads=("I",), normalise="dataset", mean=(1.0,), std=(2.0,))
    other = replace(road, mean=(-1.0,), std=(0.5,), bandpass_hz=(0.5, None))
    pooled = pooled_road([road, other], [3, 1])
    rng = np.random.default_rng(0)
    drawn = np.where(
        rng.random(400_000) < 0.75, rng.normal(1, 2, 400_000), rng.normal(-1, 0.5, 400_000)
    )
    assert pooled.mean[0] == pytest.approx(drawn.mean(), abs=0.01)
    assert pooled.std[0] == pytest.approx(drawn.std(), abs=0.01)
    assert pooled.bandpass_hz is None
    assert pooled_road([road, road], [1, 5]) is road


def test_a_record_is_prepared_as_in_its_own_database_whatever_stands_beside_it(mixed):
    roads = [published_road(part, leads=STANDARD_12, rate_hz=500.0) for part in mixed.parts]
    inputs = MixedInputs(mixed, pooled_road(roads, [1, 1, 1]), roads=roads)
    pieces = [(13, slice(0, 2600)), (0, slice(10, 5000)), (7, slice(0, 4000)), (14, slice(5, 2605))]
    together = inputs.read_pieces(pieces)
    for (index, piece), found in zip(pieces, together, strict=True):
        part, inside = mixed.locate(index)
        alone = ECGInputs(mixed.parts[part], roads[part]).read(inside, piece.start, piece.stop)
        np.testing.assert_array_equal(found.values, alone.values)
        np.testing.assert_array_equal(
            found.values, inputs.read(index, piece.start, piece.stop).values
        )


def test_a_window_depends_on_its_place_in_the_batch_and_on_nothing_beside_it(mixed):
    roads = [published_road(part, leads=STANDARD_12, rate_hz=500.0) for part in mixed.parts]
    windows = ECGWindows(MixedInputs(mixed, roads[0], roads=roads), 2500, in_memory=False)
    indices = np.array([0, 17, 6, 3, 12, 9, 1, 17])
    whole = windows.fetch(indices, key(range(8))).values.numpy()
    assert whole.shape == (8, 12, 2500)
    halves = [windows.fetch(indices[rows], key(rows)) for rows in (np.arange(4), np.arange(4, 8))]
    np.testing.assert_array_equal(whole, np.concatenate([h.values.numpy() for h in halves]))
    assert not np.array_equal(whole[1], whole[7])  # the same record, another crop


def test_published_weights_are_known_for_published_databases_only(mixed):
    assert published_weights(mixed, get_recipe("paper-xs")) == (0.05, 0.1, 0.01875)
    assert published_weights(mixed, get_recipe("small")) is None
    other = MixedRecords([mixed.parts[0], mixed.parts[0]], ["a", "b"])
    assert published_weights(other, get_recipe("paper-xs")) == (0.05, 0.05)


def test_a_run_of_weights_that_was_stopped_goes_on_bit_for_bit(mixed, tmp_path):
    recipe = get_recipe("tiny")
    training = replace(recipe.train, steps=6, checkpoint_every=2, batch_size=8, device="cpu")

    settings = {"weights": [0.5, 0.3, 0.2], "training": training, "progress": False}

    def run(out, **options):
        return pretrain(mixed, recipe, out=tmp_path / out, **settings, **options)

    def stop(objective, step):
        raise KeyboardInterrupt

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", evaluate=stop, every=4)
    again = run("stopped", resume=True)
    for name, value in whole.jepa.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), again.jepa.state_dict()[name].numpy())
    assert whole.training["ids"][0] == "ptb-xl:r0"
    assert whole.training["ids"][-1] == "st-petersburg:r5"


@pytest.mark.parametrize("weights", [[1.0, 1.0], [1, 1, -1], [0, 0, 0]])
def test_weights_that_do_not_fit_are_refused(weights, mixed):
    with pytest.raises(ConfigError, match="expected one weight"):
        pretrain(mixed, get_recipe("tiny"), weights=weights, progress=False)
    with pytest.raises(ConfigError, match="several stores"):
        pretrain(mixed.parts[0], get_recipe("tiny"), weights=[1.0], progress=False)


TINY = ["--preset", "tiny", "--steps", "4", "--batch-size", "8", "--device", "cpu"]


def test_the_command_line_takes_several_stores_and_weights_and_resumes(
    stores, tmp_path, capsys, monkeypatch
):
    run = str(tmp_path / "run")
    line = ["pretrain", "ecg", *map(str, stores), "-o", run, "--weights", "0.5,0.25,0.25", *TINY]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "ptb-xl: 6 recordings, 50.0% of the samples" in said
    stored = load_yaml(tmp_path / "run" / "config.yaml")
    assert [d["weight"] for d in stored["databases"]] == [0.5, 0.25, 0.25]
    assert stored["source"]["weights"] == [0.5, 0.25, 0.25]
    assert main(["resume", run]) == 0
    assert main(["resume", run, "--override", "--train.steps", "6"]) == 0
    assert "6 steps" in capsys.readouterr().out


def test_a_yaml_file_names_stores_and_weights(stores, tmp_path):
    config = tmp_path / "run.yaml"
    names = ", ".join(map(str, stores[:2]))
    config.write_text(f"preset: tiny\ndata:\n  stores: [{names}]\n  weights: [3, 1]\n")
    out = str(tmp_path / "run")
    assert main(["pretrain", "ecg", "--config", str(config), "-o", out, *TINY[2:]]) == 0
    stored = load_yaml(tmp_path / "run" / "config.yaml")
    assert [(d["name"], d["weight"]) for d in stored["databases"]] == [
        ("ptb-xl", 3),
        ("code-15", 1),
    ]


def test_a_paper_preset_takes_the_published_weights_and_constants(stores, tmp_path):
    out = tmp_path / "run"
    line = ["pretrain", "ecg", *map(str, stores[:2]), "-o", str(out), "--preset", "paper-xs"]
    small = "--model.dim 16 --model.depth 1 --model.heads 2 --model.pred_dim 8 --model.pred_depth 1"
    line += [*small.split(), "--model.pred_heads", "2", *TINY[2:], "--train.diagnose_every", "0"]
    assert main([*line, "--train.warmup_steps", "1"]) == 0
    stored = load_yaml(out / "config.yaml")
    assert [d["weight"] for d in stored["databases"]] == [0.05, 0.1]
    assert [d["preprocess"]["bandpass_hz"] for d in stored["databases"]] == [None, [0.5, None]]
    assert stored["preprocess"]["bandpass_hz"] is None
    assert main(["resume", str(out)]) == 0


def test_lines_of_weights_that_cannot_be_used_are_refused(stores, tmp_path, capsys):
    out = ["-o", str(tmp_path / "r"), *TINY]
    for line, part in (
        ([*map(str, stores), "--weights", "1,2"], "2 weights for 3"),
        ([str(stores[0]), "--weights", "1"], "several stores"),
        ([str(stores[0]), str(tmp_path / "x.npy")], "stores or files"),
    ):
        assert main(["pretrain", "ecg", *line, *out]) in (1, 2)
        assert part in capsys.readouterr().err
