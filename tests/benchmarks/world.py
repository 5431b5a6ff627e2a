"""How fast the world draws: ``python -m tests.benchmarks.world [--quick]``.

Pictures a second of processor time, that is on one core that does nothing else, for each domain and
style, and what writing a trusted zone adds.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from helpers.data.trusted import build_trusted_zone
from helpers.store.zones import open_zone
from helpers.world import open_world


def rate(work: Callable[[], object], n: int) -> float:
    """Items a CPU second of the fastest of three runs over ``n`` items."""
    seconds = []
    for _ in range(3):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return n / min(seconds)


def main() -> None:
    """Print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the pictures")
    n = 60 if parser.parse_args().quick else 600
    found = {}
    for domain in ("general", "kitchen"):
        for style in ("photo", "diffusion"):
            world = open_world(f"{domain}?style={style}")
            world.draw(0, 0)  # textures are made once
            drawn = rate(lambda world=world: [world.draw(i, 0) for i in range(n)], n)
            found[f"{domain}_{style}"] = drawn
            print(f"{domain:8} {style:10} {drawn:8.0f} images/s")
    world = open_world("kitchen", n_recipes=n // 3)
    images = sum(world.n_images(i) for i in range(world.n_recipes))

    def write() -> None:
        with tempfile.TemporaryDirectory() as folder:
            build_trusted_zone(open_zone(str(Path(folder) / "z")), world, progress=False)

    found["kitchen_trusted_zone"] = rate(write, images)
    print(f"kitchen  drawn and stored {found['kitchen_trusted_zone']:8.0f} images/s")
    print(json.dumps({name: round(value) for name, value in found.items()}))


if __name__ == "__main__":
    main()
