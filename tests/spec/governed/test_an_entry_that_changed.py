"""The entry was published anew, with an item more or of another type, and no new rows have come yet: queries go on."""

from dataclasses import replace

from tests.spec.governed.governed_world import CLEAR, WEATHER, World, make_grant

from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.text import BilingualText


def _noted(world: World, *, without: tuple[str, ...] = (), **other: ItemType) -> None:
    """Let the snapshot say what it holds."""
    held = tuple((one.name, other.get(one.name, one.type)) for one in WEATHER.items if one.name not in without)
    world.snapshots["weather"] = replace(world.snapshots["weather"], columns=held)


def test_an_item_that_the_snapshot_lacks_is_missing_in_every_row(world: World) -> None:
    _noted(world)
    rain = Item("rain", BilingualText("降水", "Rain"), ItemType.DECIMAL, Grade.PUBLIC)
    world.published["weather"] = replace(WEATHER, items=(*WEATHER.items, rain))
    world.grants.append(make_grant("weather", {"station": CLEAR, "rain": CLEAR}, provider="gz-weather"))
    world.gateway = world.make_gateway()
    rows = world.rows("SELECT station, rain FROM weather ORDER BY 1")
    assert rows and all(rain is None for _, rain in rows)
    assert world.rows("SELECT count(rain), count(*) FROM weather")[0][0] == 0
    assert "rain" not in world.engine.ran[-1].tables[0].columns


def test_an_item_of_another_type_is_read_as_what_it_has_become(world: World) -> None:
    _noted(world)
    items = tuple(replace(one, type=ItemType.TEXT) if one.name == "temperature" else one for one in WEATHER.items)
    before = world.rows("SELECT temperature FROM weather ORDER BY 1")
    world.published["weather"] = replace(WEATHER, items=items)
    world.gateway = world.make_gateway()
    after = world.rows("SELECT temperature FROM weather ORDER BY 1")
    assert sorted(str(value) for (value,) in before) == sorted(value for (value,) in after)
