"""Pairs of a few recipes in any zone, and a builder to kill: what folder and store are compared by.

``python -m tests.store.s3_small ZONE`` builds one artefact.
"""

import json
import sys

from helpers.store.artefacts import Manifest, Writer, ensure
from helpers.store.zones import Zone, open_zone

TIMES = (
    "created", "seconds", "peak_memory_mb", "prefix_seconds", "training_seconds", "milliseconds",
)  # fmt: skip


def small_pairs(zone: Zone, *, recipes: int) -> dict[str, object]:
    """The pairs of a few recipes in a zone; every file by its key, without times.

    What a manifest says of files that hold times is left out too.
    """
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
    """One artefact of many small files and a large one."""

    def build(writer: Writer) -> None:
        for number in range(40):
            writer.write_bytes(f"t/{number}", b"x" * number)
        writer.write_bytes("t/big", bytes(70 << 20))

    return ensure(
        zone, "a", kind="test", parameters={}, inputs={}, build=build, prefixes=("t",), code="c"
    )


def main(place: str) -> None:
    """Build, and print ``begun`` before."""
    zone = open_zone(place)
    print("begun", flush=True)
    small_build(zone)


if __name__ == "__main__":
    main(sys.argv[1])
