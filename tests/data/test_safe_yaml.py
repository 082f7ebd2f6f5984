import pytest

from biojepa.data.safe_yaml import load_yaml
from biojepa.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1.0e-3", 1e-3),
        ("-.5", -0.5),
        ("3E4", 3e4),
        ("1.", 1.0),
        ("12", 12),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("12:30", "12:30"),
        ("2026-11-23", "2026-11-23"),
        ("00001", "00001"),
        ("1_000", "1_000"),
        ("1.0.3", "1.0.3"),
        ("~", None),
        ("null", None),
        ("", None),
        ("'1e-3'", "1e-3"),
        ("=", "="),
        ("!!str 5", "5"),
        ("[1, a, 2.5, {b: no}]", [1, "a", 2.5, {"b": "no"}]),
    ],
)
def test_values_mean_what_they_look_like(text, value):
    found = load_yaml(f"key: {text}\n")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' is there twice"),
        ("a: {b: 1, b: 2}\n", "'b' is there twice"),
        ("a: .nan\n", "not a finite number"),
        ("a: .inf\n", "not a finite number"),
        ("a: -.INF\n", "not a finite number"),
        ("a: 1e999\n", "not a finite number"),
        ("a: !!float 'nan'\n", "not of the type float"),
        ("a: !!python/object/apply:os.system ['echo hacked']\n", "refused"),
        ("a: !!python/name:os.system\n", "refused"),
        ("a: !!binary aGk=\n", "refused"),
        ("a: !!set {x}\n", "refused"),
        ("a: !mine 1\n", "refused"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: &x [*x]\n", "aliases"),
        ("1: 2\n", "name as key"),
        ("[1]: 2\n", "name as key"),
        ("- 1\n", "got a list"),
        ("a\n", "got a str"),
        ("a: 1\n---\nb: 1\n", "single document"),
        ("a: [1\n", "YAML text"),
        ("a: \x00\n", "special characters"),
        ("a: \ud800\n", "UTF-8"),
        ("a: " + "9" * 5000 + "\n", "5000 digits"),
        ("a: " + "[" * 100_000 + "\n", "nested deeper"),
        ("a: " + "{b: " * 1000 + "\n", "nested deeper"),
        ("a: '" + "x" * 2**20 + "'\n", "larger than"),
    ],
)
def test_what_is_dangerous_or_ambiguous_is_refused(text, part):
    with pytest.raises(ConfigError, match=part):
        load_yaml(text)


def test_an_alias_bomb_is_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]\n"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12)]
    with pytest.raises(ConfigError, match="line 2"):
        load_yaml("".join(lines))


def test_a_merge_key_is_an_ordinary_name():
    assert load_yaml("<<: 1\n") == {"<<": 1}


def test_a_file_is_read_and_named_in_errors(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes("\ufefflr: 1e-3\n".encode())
    assert load_yaml(path) == {"lr": 1e-3}
    assert load_yaml(str(path)) == {"lr": 1e-3}
    path.write_text("lr: 1\nlr: 2\n")
    with pytest.raises(ConfigError, match=r"run\.yaml, line 2"):
        load_yaml(path)


def test_files_that_are_none_are_config_errors(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * (10 * 2**20))
    for path in (tmp_path / "none.yaml", tmp_path, "none.yml", tmp_path / "a\0b"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_yaml(path)
    with pytest.raises(ConfigError, match="UTF-8"):
        load_yaml(tmp_path / "latin.yaml")
    with pytest.raises(ConfigError, match="larger than"):
        load_yaml(tmp_path / "large.yaml")


def test_an_empty_document_is_an_empty_mapping():
    assert load_yaml("") == {}
    assert load_yaml("# only a comment\n") == {}
