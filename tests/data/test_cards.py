import dataclasses

import pytest

from biojepa.data.cards import list_cards, load_card
from biojepa.data.montage import place_channels
from biojepa.ecg.recipes import PAPER_DATASETS
from biojepa.errors import ConfigError
from tests.conftest import ROOT

PTB_XL = ROOT / "datasets" / "ptb-xl.yaml"


@pytest.mark.parametrize("name", list_cards())
def test_every_card_loads_and_explains_what_it_does_not_know(name):
    card = load_card(name)
    assert card.name == name
    for field in dataclasses.fields(card):
        if getattr(card, field.name) is None:
            assert card.reasons[field.name]


FMRI = ["abide-1", "adhd-200", "adni-fmri", "cam-can", "development-fmri", "hcp-aging", "hcp-ya"]
FMRI += ["oasis-3", "ukb-fmri"]


@pytest.mark.parametrize("name", FMRI)
def test_every_fmri_card_states_access_and_what_surprises(name):
    card = load_card(name)
    assert card.access in ("open", "credentialed")
    assert card.licence or card.reasons["licence"]
    assert card.quirks
    assert card.unit == "arbitrary"


@pytest.mark.parametrize("name", list(PAPER_DATASETS))
def test_every_database_of_the_published_recipe_has_a_card(name):
    card = load_card(name)
    assert card.unit == "mV"
    assert len(card.leads) >= 12
    assert card.normalisation.rate_hz == card.rates_hz[0]
    assert len(card.normalisation.std) == 12


def test_mimic_has_its_leads_and_constants_in_the_order_of_its_files():
    card = load_card("mimic-iv-ecg")
    assert card.leads[3:6] == ("aVR", "aVF", "aVL")
    assert card.normalisation.std[4:6] == (0.143, 0.141)


def test_a_highpass_is_stated_where_the_constants_need_it():
    found = {name: load_card(name).normalisation.highpass_hz for name in PAPER_DATASETS}
    assert {name for name, hz in found.items() if hz == 0.5} == {"code-15", "st-petersburg"}
    assert sum(hz is None for hz in found.values()) == 8


def test_the_former_name_of_the_ptb_card_is_still_known():
    assert load_card("ptb-diagnostic") == load_card("ptb")
    assert "ptb-diagnostic" not in list_cards()


def test_ptb_xl_holds_the_facts_that_the_readers_need():
    card = load_card("ptb-xl")
    assert card.leads[3:6] == ("AVR", "AVL", "AVF")
    assert card.rates_hz == (500.0, 100.0)
    assert card.n_records == 21_799
    assert card.normalisation.std[7] == 0.338
    assert len(card.normalisation.mean) == 12
    assert set(card.splits) == {"by", "train", "validation", "test"}
    assert card.files["ptbxl_database.csv"] is None
    assert "files" in card.reasons


def test_a_card_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_card("ptb-xl").n_records = 1


@pytest.mark.parametrize("name", ["ptbxl", "../pyproject", "", "PTB-XL"])
def test_an_unknown_card_is_an_error_with_the_nearest_name(name):
    with pytest.raises(ConfigError, match="ptb-xl"):
        load_card(name)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("licence:", "license:", "did you mean 'licence'"),
        ("n_records: 21799", "n_records: null", "n_records_reason"),
        ("n_records: 21799", "n_records: many", "whole number"),
        ("n_records: 21799", "n_records: true", "whole number"),
        ("access: open", "access: secret", "credentialed"),
        ("files_reason: >-\n", "quirks_reason: >-\n", "files_reason"),
        ("records100: null", "records100: abc", "SHA-256"),
        ("unit: mV\nn_records", "unit: 3\nn_records", "expected text"),
        ("unit: mV\nn_records", "n_records", "missing unit"),
        ("rates_hz: [500, 100]", "rates_hz: fast", "list of numbers"),
        ("mean: [-0.002, ", "mean: [", "one per lead"),
        ("  of: folds 1-8, raw signals\n", "", "normalisation"),
        ("name: ptb-xl", "name: other", "that of the file"),
        ("url: https://physionet.org/files", "url: http://physionet.org/files", "https address"),
        ("folders:", "folder:", "the fields url, sums, folders"),
        ("n_subjects:", "n_records:", "twice"),
    ],
)
def test_a_faulty_card_is_an_error_that_says_where(tmp_path, old, new, part):
    text = PTB_XL.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "ptb-xl.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=part):
        load_card(path)


@pytest.mark.parametrize(
    "name",
    ["bnci2014-001", "brain-invaders-2012", "eegmmidb", "lee2019", "ssvep-exoskeleton", "tuh-eeg"],
)
def test_the_eeg_databases_have_cards_whose_channels_have_places(name):
    card = load_card(name)
    assert card.unit in ("uV", "arbitrary")
    if card.leads is not None:
        pytest.importorskip("mne")
        assert len(place_channels(card.leads).names) == len(card.leads)
