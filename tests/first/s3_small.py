"""The course in small on any zone, and a builder to kill: what folder and store are compared by.

``python -m tests.first.s3_small ZONE HOST`` builds one artefact as the machine HOST and says how it went.
"""

import json
import socket
import sys

from helpers.store.artefacts import Manifest, Writer, ensure
from helpers.store.locks import Busy
from helpers.store.zones import Zone, open_zone

TIMES = (
    "created", "seconds", "peak_memory_mb", "prefix_seconds", "training_seconds", "milliseconds",
)  # fmt: skip


def small_course(zone: Zone) -> dict[str, object]:
    """Pairs, baseline and a run of a small model in a zone; every file by its key, without times.

    What a manifest says of files that hold times is left out too.
    """
    from helpers.data.pairs import ensure_pairs, retrieval_set
    from helpers.first.models.evaluate import evaluate
    from helpers.first.models.experiments import ensure_baseline
    from helpers.first.models.placement import Placement
    from helpers.first.training.arms import Arm
    from helpers.first.training.runs import ensure_run
    from helpers.first.training.settings import Training
    from tests.first.small_training import small_encoder

    arm = Arm(
        Placement(rank=2, alpha=4, modules="q_proj,v_proj"),
        Training(epochs=2, batch_size=8, draw="image", learning_rate=1e-2),
    )
    encoder = small_encoder("siglip")
    pairs = ensure_pairs(zone, source="world:kitchen", max_recipes=30, progress=False)
    found = evaluate(encoder, retrieval_set(pairs.test), pairs.image, n_resamples=50)
    baseline = ensure_baseline(found, encoder, pairs, n_resamples=50, seed=42)
    run = ensure_run(pairs, encoder, arm, n_resamples=50, progress=False)
    return contents(zone) | {"baseline": baseline.fingerprint, "run": run.id}


def small_pairs(zone: Zone, *, recipes: int) -> dict[str, object]:
    """The pairs of a few recipes in a zone; as ``small_course``."""
    from helpers.data.pairs import ensure_pairs

    pairs = ensure_pairs(zone, source="world:kitchen", max_recipes=recipes, progress=False)
    prints = {"trusted": pairs.intake.manifest.fingerprint, "pairs": pairs.manifest.fingerprint}
    return contents(zone) | prints


def contents(zone: Zone) -> dict[str, object]:
    """Every file of a zone but locks: its bytes, or what a JSON file says, without times."""
    return {
        key: _plain(key, zone.read_bytes(key))
        for folder in ("trusted-zone", "fine-tuning-zone", "manifests")
        for key in zone.list(folder)
        if not key.endswith((".lock", ".holder"))
    }


def _plain(key: str, data: bytes) -> object:
    if not key.endswith(".json"):
        return data
    return _without_times(json.loads(data))


def _without_times(value: object) -> object:
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    timed = ("training_logs.json", "results_lora.json")
    return {
        name: _without_times(item)
        for name, item in value.items()
        if name not in TIMES and not name.endswith(timed)
    }


def small_build(zone: Zone) -> Manifest:
    """One artefact of many small files and one that is sent in parts."""

    def build(writer: Writer) -> None:
        for number in range(40):
            writer.write_bytes(f"t/{number}", b"x" * number)
        writer.write_bytes("t/big", bytes(70 << 20))

    return ensure(
        zone, "a", kind="test", parameters={}, inputs={}, build=build, prefixes=("t",), code="c"
    )


def main(place: str, host: str) -> None:
    """Build, and print ``begun`` and then how it went."""
    if host:
        socket.gethostname = lambda: host
    zone = open_zone(place)
    print("begun", flush=True)
    there = zone.exists("manifests/a.json")
    try:
        small_build(zone)
        print("read" if there else "built", flush=True)
    except Busy as error:
        print(f"Busy: {error}", flush=True)


if __name__ == "__main__":
    main(*[*sys.argv[1:], ""][:2])
