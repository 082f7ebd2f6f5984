"""Settings to and from JSON."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from biojepa.engine.settings import check_types, from_plain, to_plain
from biojepa.errors import ConfigError


@dataclass(frozen=True)
class Cake:
    layers: int = 2
    height: float = 0.1
    iced: bool = False
    flavour: str = "lemon"
    share: tuple[float, float] = (0.5, 0.5)


def test_a_dict_of_settings_comes_back_as_they_were() -> None:
    plain = to_plain(Cake(layers=3))
    assert plain["share"] == [0.5, 0.5]
    assert from_plain(Cake, plain | {"share": (0.5, 0.5)}, what="cake") == Cake(layers=3)


def test_an_unknown_setting_names_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match="unknown cake setting 'layer': did you mean 'layers'"):
        from_plain(Cake, {"layer": 3}, what="cake")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"layers": 2.0}, "whole number for layers"),
        ({"layers": True}, "whole number for layers"),
        ({"height": float("nan")}, "finite number for height"),
        ({"iced": 1}, "iced true or false"),
        ({"flavour": "plum"}, "flavour in"),
    ],
)
def test_a_value_of_another_type_is_refused(setting, message) -> None:
    with pytest.raises(ConfigError, match=message):
        check_types(Cake(**setting), {"flavour": ("lemon", "mint")})
