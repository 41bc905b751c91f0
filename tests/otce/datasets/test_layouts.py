"""The layouts that data sets are published in, on every kind of store."""

import numpy as np
import pytest

from otce.census import count_labels
from otce.classes import CAMVID_CLASSES, STREET_CLASSES, VOC_CLASSES
from otce.datasets import open_dataset
from otce.errors import DataError, StoreError
from tests.folders import HEIGHT_WIDTH, photo, png
from tests.layouts import BY_TRAIN_ID, FRAMES, LAYOUTS, LayoutPlace, holding, split_mat

CLASSES = {
    "cityscapes": STREET_CLASSES,
    "bdd100k": STREET_CLASSES,
    "gta5": STREET_CLASSES,
    "camvid": CAMVID_CLASSES,
    "voc": VOC_CLASSES,
}


@pytest.fixture
def place(request, store_uri, store_options):
    drawn = LAYOUTS[request.param]
    return LayoutPlace(store_uri, store_options, drawn).write(drawn.files())


@pytest.fixture
def local(request, tmp_path):
    drawn = LAYOUTS[request.param]
    return LayoutPlace(str(tmp_path / "data"), {}, drawn).write(drawn.files())


def on(fixture, *names):
    return pytest.mark.parametrize(fixture, names or LAYOUTS, indirect=True)


def refused(message, *says):
    assert [said for said in says if said not in message] == [], message


@on("place")
def test_items_are_found_and_every_mask_value_means_its_class(place):
    dataset, drawn = place.open(), place.drawn
    assert tuple(item.id for item in dataset.items) == drawn.ids
    assert dataset.classes == CLASSES[drawn.kind]
    assert dataset.notes == ()
    for seed, item in enumerate(dataset.items):
        assert dataset.image(item).shape == (*HEIGHT_WIDTH, 3)
        expected = drawn.class_ids(seed)
        assert np.array_equal(dataset.label(item), expected)
        size_px, class_px = dataset.count(item)
        assert size_px == HEIGHT_WIDTH
        by_hand = [(expected == class_id).sum() for class_id in range(len(dataset.classes))]
        assert class_px.tolist() == by_hand
        assert min(by_hand) > 0


@on("local")
def test_a_label_that_is_missing_is_told(local):
    first = local.drawn.ids[0]
    local.write({local.drawn.image.format(first): png(photo(), kind="jpeg")})
    gone = LayoutPlace(f"{local.uri}-gone", {}, local.drawn)
    files = local.drawn.files()
    del files[local.drawn.label.format(first)]
    for other in local.drawn.others:
        files.pop(other.format(first), None)
    gone.write(files)
    says = f"{gone.uri}: 1 of {len(local.drawn.ids)} items lack a file: {first} (label)"
    refused(gone.refusal(), says, "labels as", "add the files or take the items out")


@on("local")
def test_an_image_of_another_size_than_its_mask_is_told_with_its_file(local):
    name = local.drawn.label.format(local.drawn.ids[1])
    local.write({name: local.drawn.mask(holding(local.drawn.meaning, 0, (6, 5)))})
    image = local.drawn.image.format(local.drawn.ids[1])
    refused(local.refusal(), f"{local.uri}/{image} is 16x8 but its label is 5x6", "give both one")


@on("local")
def test_a_frame_whose_every_pixel_is_void_counts_nothing_and_250_is_void_where_classes_are_known(
    local,
):
    whole, drawn = local.counts(), local.drawn
    for void in sorted({255, 250} & drawn.meaning.keys()):
        mask = np.full(HEIGHT_WIDTH, void, np.uint8)
        counts = local.write({drawn.label.format(drawn.ids[0]): drawn.mask(mask)}).counts()
        assert counts[0].sum() == 0
        assert np.array_equal(counts[1:], whole[1:])


@on("local", "cityscapes", "bdd100k", "gta5", "camvid")
def test_a_mask_coded_with_250_has_the_classes_of_one_coded_with_255(local):
    drawn, first = local.drawn, local.open().items[0]
    raw = drawn.raw(0)
    recoded = np.where(raw == 255, 250, raw).astype(np.uint8)
    assert (raw == 255).any()
    local.write({drawn.label.format(drawn.ids[0]): drawn.mask(recoded)})
    assert np.array_equal(local.open().label(first), drawn.class_ids(0))


@on("local", "bdd100k", "bdd100k, older release", "cityscapes by train id")
def test_a_mask_of_other_ids_is_not_taken_for_train_ids(local):
    drawn = local.drawn
    local.write({drawn.label.format(drawn.ids[1]): png(holding(range(34), 0))})
    refused(local.refusal(), drawn.label.format(drawn.ids[1]), "is outside 0..18", "label id")


@on("place", "cityscapes")
def test_train_id_masks_are_used_item_by_item_where_they_are(place):
    train_ids = holding(BY_TRAIN_ID.keys() - {250}, 5)
    before = place.digest()
    place.write({f"gtFine/train/{FRAMES[2]}_gtFine_labelTrainIds.png": png(train_ids)})
    dataset = place.open()
    expected = np.vectorize(BY_TRAIN_ID.get)(train_ids)
    assert np.array_equal(dataset.label(dataset.items[2]), expected)
    assert np.array_equal(dataset.label(dataset.items[3]), place.drawn.class_ids(3))
    assert place.digest() != before


@on("place", "cityscapes")
def test_cities_are_sub_domains(place):
    assert place.ids(cities=["bochum"]) == list(FRAMES[2:])
    assert place.ids(cities=["bochum", "aachen"]) == list(FRAMES)
    assert place.open().parts() == ["aachen", "bochum"]
    message = place.refusal(cities=["aachen", "bohcum"])
    assert f"{place.uri}: no image of bohcum; check the names" in message
    assert place.digest(cities=["aachen"]) != place.digest(cities=["bochum"])
    assert place.digest(cities=["aachen", "bochum"]) == place.digest()


@on("place", "camvid")
def test_sequences_are_sub_domains(place):
    ids = list(place.drawn.ids)
    assert place.ids(sequences=["Seq05VD"]) == ids[2:]
    assert place.ids(sequences=["Seq05VD", "0001TP"]) == [ids[0], *ids[2:]]
    assert place.ids(items="lists/seq_Seq05VD.txt") == ids[2:]
    assert place.open().parts() == ["0001TP", "0006R0", "Seq05VD"]
    assert "no image of 0016E5" in place.refusal(sequences=["0016E5"])


@on("place", "bdd100k")
def test_the_two_releases_may_lie_side_by_side(place):
    older = LAYOUTS["bdd100k, older release"]
    files = {name.replace("/val/", "/train/"): data for name, data in older.files().items()}
    more = older.image.replace("/val/", "/train/"), older.label.replace("/val/", "/train/")
    files[more[0].format("new")] = png(photo(5), kind="jpeg")
    files[more[1].format("new")] = png(older.raw(5))
    dataset = place.write(files).open()
    assert [item.id for item in dataset.items] == [*place.drawn.ids, "new"]
    assert "images/10k" in dataset.items[0].image
    assert "seg/labels" in dataset.items[2].label
    assert np.array_equal(dataset.label(dataset.items[2]), older.class_ids(5))


@on("place", "gta5")
def test_split_mat_chooses_frames(place):
    assert place.ids(split="train") == ["00001", "00003"]
    assert place.ids(split="val") == ["00002"]
    assert place.ids(split="test") == ["24966"]
    place.write({"split.mat": split_mat(trainIds=[1, 4])})
    assert "1 of 2 items lack a file: 00004 (image)" in place.refusal(split="train")
    assert "no list valIds of at most" in place.refusal(split="val")


@on("local", "gta5")
def test_known_bad_frames_are_left_out_and_named_or_kept(local):
    bad = {}
    for id_ in ("15188", "20801", "20860"):
        bad |= {
            f"images/{id_}.png": png(photo()),
            f"labels/{id_}.png": local.drawn.mask(local.drawn.raw(1)),
        }
    dataset = local.write(bad).open()
    assert tuple(item.id for item in dataset.items) == local.drawn.ids
    assert dataset.notes == ("3 known bad frames left out: 15188, 20801, 20860",)
    kept = local.open(known_bad_frames="keep")
    assert len(kept.items) == len(local.drawn.ids) + 3
    assert kept.notes == ()


@on("local", "gta5")
def test_train_id_masks_beside_those_of_gta5_are_used(local):
    train_ids = holding(BY_TRAIN_ID.keys() - {250}, 5)
    dataset = local.write({"labels/00002_labelTrainIds.png": png(train_ids)}).open()
    assert tuple(item.id for item in dataset.items) == local.drawn.ids
    assert np.array_equal(dataset.label(dataset.items[1]), np.vectorize(BY_TRAIN_ID.get)(train_ids))


@on("local", "voc")
def test_voc_lists_and_classes_may_be_of_ones_own(local):
    local.write({"mine.txt": b"2007_000039", "ImageSets/Segmentation/val.txt": b"2007_000032"})
    assert local.ids(split=None, items="mine.txt") == ["2007_000039"]
    assert local.ids(split="val") == ["2007_000032"]
    label_map = {0: 255} | dict.fromkeys(range(1, 21), 0)
    fields = {"classes": ["thing"], "label_map": label_map}
    dataset = local.open(**fields)
    expected = np.where(local.drawn.class_ids(0) > 0, 0, -1)
    assert dataset.classes == ("thing",)
    assert np.array_equal(dataset.label(dataset.items[0]), expected)
    refused(local.refusal(StoreError, split="none"), "ImageSets/Segmentation/none.txt: no such")


@on("local")
def test_known_items_are_read_without_a_listing(local):
    dataset = local.open()
    known = open_dataset(local.config(), {}, dataset.items[:1])
    assert known.items == dataset.items[:1]
    assert np.array_equal(count_labels(known, known.items), local.counts()[:1])


@on("local")
def test_an_empty_root_is_told(local):
    other = LayoutPlace(f"{local.uri}/nothing", {}, local.drawn)
    kinds = StoreError if local.drawn.kind == "voc" else DataError
    refused(other.refusal(kinds), other.uri)
