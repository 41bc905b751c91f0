"""One file of a source side, exported without a run having to read its images again."""

import numpy as np

from flows.export import export_signature
from otce.config_file import load_config
from otce.draw import Draw
from otce.identity import model_signature
from otce.readable import open_readable
from otce.signature import decode, draw_key, encode
from otce.storage.store import Store
from otce.zoo import model_identity
from tests.folders import mask, photo, png
from tests.zoo import write_zoo, zoo_config


def test_a_source_with_an_item_left_out_is_found_again(tmp_path):
    """The digest was once taken over all items, corrupt ones included, so nothing was found."""
    for name in "abc":
        for side, pixels in (("i", photo()), ("l", mask())):
            file = tmp_path / f"data/{side}/{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(pixels))
    (tmp_path / "data/i/b.png").write_bytes(b"no image")
    config = zoo_config(models=1, repetitions=1)
    config["datasets"]["alder"] = {
        "layout": "folder:data",
        "images": "i/*.png",
        "labels": "l/*.png",
        "classes": [f"class-{i}" for i in range(8)],
        "max_bad_items": 1,
    }
    run = load_config(str(write_zoo(tmp_path, config)))
    model, store = run.models["net-0"], Store(run.execution.store)
    found = open_readable("alder", run.datasets["alder"])
    assert found.left_out.keys() == {"b"}
    side = model_signature(
        run,
        "net-0",
        model=model_identity(model, run.execution.python_path),
        source="alder",
        source_digest=found.digest,
        classes=found.dataset.classes,
    )
    draw = Draw(np.ones((4, 6), np.float32), *np.zeros((2, 4), np.int32))
    store.put(draw_key(side, 0), encode(side, {0: draw}))
    contents, _ = export_signature(run, "net-0", str(tmp_path / "net-0.sig"))
    assert contents.signature.source_digest == found.digest
    assert (
        decode((tmp_path / "net-0.sig").read_bytes(), "file")[1][0][0].tobytes()
        == draw[0].tobytes()
    )
