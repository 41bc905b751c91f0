"""`by: city` makes one entry of a configuration stand for one data set per city."""

import pytest

from otce.config_file import check
from otce.datasets.expand import expanded
from otce.errors import ConfigError, DataError
from otce.yaml_places import Document
from tests.folders import photo, png
from tests.layouts import FRAMES, LAYOUTS, LayoutPlace


@pytest.fixture
def place(store_uri, store_options):
    drawn = LAYOUTS["cityscapes"]
    return LayoutPlace(store_uri, store_options, drawn).write(drawn.files())


def written(place, *, source="cs/aachen", targets=("cs",), others=None, **fields):
    return check(
        Document(
            {
                "datasets": {
                    "cs": {"layout": f"{place.drawn.kind}:{place.uri}", "by": "city", **fields},
                    "alder": {"layout": "scenes:alder"},
                    **(others or {}),
                },
                "models": {"net": {"reference": "python:n:n", "weights": "w", "source": source}},
                "targets": list(targets),
                "execution": {"storage_options": place.options},
            }
        )
    )


def problem(place, **fields):
    with pytest.raises(ConfigError) as caught:
        expanded(written(place, **fields))
    return str(caught.value)


def test_an_entry_becomes_one_data_set_per_city_and_its_id_means_all(place):
    config = expanded(written(place, limit=1, seed=3))
    assert list(config.datasets) == ["cs/aachen", "cs/bochum", "alder"]
    assert config.targets == ("cs/aachen", "cs/bochum")
    assert config.pairs == (("net", "cs/bochum"),)
    bochum = config.datasets["cs/bochum"]
    assert (bochum.by, bochum.cities, bochum.limit, bochum.seed) == (None, ("bochum",), 1, 3)


def test_a_city_that_joins_the_storage_changes_the_run_and_no_other_city(place):
    before = expanded(written(place))
    assert expanded(written(place)).fingerprint == before.fingerprint
    name = "ulm/ulm_000000_000019"
    place.write({f"leftImg8bit/train/{name}_leftImg8bit.png": png(photo())})
    after = expanded(written(place))
    assert after.fingerprint != before.fingerprint
    assert after.targets == ("cs/aachen", "cs/bochum", "cs/ulm")
    assert after.datasets["cs/bochum"] == before.datasets["cs/bochum"]


def test_a_city_of_its_own_has_the_digest_of_the_same_city_chosen(place):
    config = expanded(written(place)).datasets["cs/aachen"]
    assert place.digest(**config.model_dump(exclude={"layout"})) == place.digest(cities=["aachen"])


def test_named_cities_need_no_listing(place):
    nowhere = LayoutPlace(f"{place.uri}-nowhere", place.options, place.drawn)
    config = expanded(written(nowhere, cities=["ulm", "aachen"]))
    assert config.targets == ("cs/aachen", "cs/ulm")


def test_cities_of_a_list_are_those_it_names(place):
    place.write({"list.txt": f"{FRAMES[2]}\n{FRAMES[0]}".encode()})
    config = expanded(written(place, items="list.txt"))
    assert config.targets == ("cs/aachen", "cs/bochum")
    assert place.ids(items="list.txt", cities=["bochum"]) == [FRAMES[2]]


def test_one_city_may_be_a_target_and_is_one_once(place):
    assert expanded(written(place, targets=["cs/bochum"])).targets == ("cs/bochum",)
    both = expanded(written(place, targets=["cs/bochum", "cs", "alder"]))
    assert both.targets == ("cs/bochum", "cs/aachen", "alder")


def test_what_cannot_be_meant_is_told(place):
    assert "'cs/aachn'; there are cs/aachen" in problem(place, source="cs/aachn")
    assert "'cs/ulm'; there are" in problem(place, targets=["cs/ulm"])
    assert "no pair to score" in problem(place, targets=["cs/aachen"])
    assert "name one of them as cs/<part>" in problem(place, source="cs")
    assert "no data set has the id 'alder/x'" in problem(place, source="alder/x")
    twice = {"cs/aachen": {"layout": "scenes:alder"}}
    assert "cs/aachen is also a part of cs" in problem(place, others=twice)


def test_a_folder_whose_name_is_no_name_of_a_city_is_refused(place):
    place.write({"leftImg8bit/train/a city*/1_leftImg8bit.png": png(photo())})
    with pytest.raises(DataError, match=r"names that are none of a city or sequence: a city\*"):
        expanded(written(place))


def test_no_cities_at_all_are_told(place):
    nowhere = LayoutPlace(f"{place.uri}-nowhere", place.options, place.drawn)
    with pytest.raises(DataError, match="no image matches leftImg8bit/train"):
        expanded(written(nowhere))


def test_without_by_nothing_is_listed(place):
    nowhere = LayoutPlace("s3://no-such-bucket", {}, place.drawn)
    config = written(nowhere, by=None, source="alder")
    assert expanded(config) is config


def test_sequences_of_camvid_are_data_sets_too(tmp_path):
    drawn = LAYOUTS["camvid"]
    place = LayoutPlace(str(tmp_path), {}, drawn).write(drawn.files())
    config = expanded(written(place, by="sequence", source="cs/0001TP"))
    assert config.targets == ("cs/0001TP", "cs/0006R0", "cs/Seq05VD")
    assert config.datasets["cs/Seq05VD"].sequences == ("Seq05VD",)
