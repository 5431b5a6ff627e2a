"""``course watch``: whether a folder of arriving images drifts from the images of a run."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from helpers import paths
from helpers.course.lessons import CourseError
from helpers.course.rules import nothing_at, rule_of
from helpers.course.search import add_pack, opened
from helpers.course.state import run_folder

SEED = 42  # of every draw: the same arrivals have the same alarm
MOST = 2000  # known images that arrivals are held against; more cost time and change little
SHOWN = 5  # of the images behind an alarm
EXAMPLES = """\
examples:
  course watch inbox                              beside the images of the run 'tiny'
  course watch inbox --name mine --order name --per-step 50
  course watch inbox --name mine --retrain --labeled captions.csv    lesson 04, once for an alarm"""


def add_watch(commands: argparse._SubParsersAction) -> None:
    """The grammar of the command."""
    watch = commands.add_parser(
        "watch", help="tell whether arriving images drift from a run's", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Watch arriving images beside those of a run, as lesson 13 does: an alarm has "
        "a signal, a time and a cause. Code 0: no alarm; 1: an alarm.",
    )  # fmt: skip
    watch.add_argument("arrivals", help="a folder of images that arrived")
    add_pack(watch)
    watch.add_argument(
        "--order", choices=("time", "name"), default="time",
        help="by the files' times, or by their names (default: %(default)s)",
    )  # fmt: skip
    watch.add_argument(
        "--per-step", type=_whole, default=20, metavar="N",
        help="images of a step (default: %(default)s)",
    )  # fmt: skip
    watch.add_argument(
        "--false-alarms", type=_share, default=0.05, metavar="SHARE",
        help="of streams without a change that may have an alarm (default: %(default)s)",
    )  # fmt: skip
    watch.add_argument(
        "--streams", type=_whole, default=80, metavar="N",
        help="streams without a change that thresholds are chosen on (default: %(default)s)",
    )  # fmt: skip
    watch.add_argument(
        "--retrain", action="store_true", help="after an alarm run lesson 04 on --labeled, once"
    )
    watch.add_argument(
        "--labeled", default="", metavar="SOURCE",
        help="images with captions to retrain on, as the parameter source of a lesson",
    )  # fmt: skip
    watch.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Watch the arrivals once; 1 where there is an alarm, else 0."""
    folder, labeled = paths.find(arguments.arrivals), _labeled(arguments)
    if not folder.is_dir():
        raise CourseError(f"no folder of arrivals: {nothing_at(arguments.arrivals)}")
    from helpers.topics.drift import arrived, streams, watch

    try:
        names, images, unreadable = arrived.in_order(folder, by=arguments.order)
        pack = opened(arguments)
        encoder = pack.with_images().vision
        known = known_images(pack, encoder)
        new = arrived.beside(known, encoder, names, images, seed=SEED)
        per_step = arguments.per_step
        stream = streams.own_stream(known, new, per_step=per_step, seed=SEED)
        quiet = streams.quiet_streams(
            known, len(stream.steps), arguments.streams, per_step=per_step, seed=SEED
        )
        levels = watch.thresholds(
            watch.maxima(map(watch.watch, quiet)), false_alarms=arguments.false_alarms
        )
    except ValueError as error:
        raise CourseError(str(error).replace("per_step", "--per-step")) from error
    for name in unreadable:
        print(f"note: {folder / name} is left out: no readable image", file=sys.stderr)
    held = f"{len(known.ids):,} of {len(pack.retriever.index):,} known images, {pack.made_by}"
    print(f"{len(names)} arrivals in {len(stream.steps)} steps of {per_step}, beside {held}")
    alarm = watch.first_alarm(watch.watch(stream), levels)
    if alarm is None:
        print("no alarm")
        return 0
    _tell(alarm, folder, names[: (alarm.step + 1) * per_step])
    record = run_folder(arguments.name) / watch.RECORD
    key = watch.key_of(known, pack.retriever.index.space.fingerprint, folder)
    command, done = watch.act(
        alarm, record, source=labeled or "LABELED", model=pack.model, start=arguments.retrain,
        key=key, run=_retrain,
    )  # fmt: skip
    print(f"  {done}: {paths.portable(record / f'{key}.json')}")
    if alarm.cause not in watch.KEPT:
        print(f"  to retrain: {command}")
        print(f"  then watch newer images: course watch FOLDER --build --name retrain-{key}")
    return 1


def known_images(pack: Any, encoder: Any) -> Any:
    """At most ``MOST`` images of a pack with their embeddings and a caption each."""
    from helpers.data.images import load_image
    from helpers.data.sets import LazyImages
    from helpers.topics.drift.streams import Images, pixel_statistics

    index, about = pack.retriever.index, pack.retriever.metadata
    rows = index.faiss.reconstruct_n(0, len(index))
    chosen = np.random.default_rng(SEED).permutation(len(index))[:MOST]
    keys = index.ids[chosen]
    images = LazyImages(keys.tolist(), lambda key: load_image(pack.image_bytes(key)))
    asked = encoder.texts([about[key]["caption"] for key in keys])
    return Images(keys, rows[chosen], pixel_statistics(images), asked)


def _tell(alarm: Any, folder: Path, until: Sequence[str]) -> None:
    """The alarm in words: signal, when, cause, and the images to look at first."""
    time = datetime.fromtimestamp((folder / until[-1]).stat().st_mtime).isoformat(" ", "minutes")
    verb = (
        "stands above its threshold" if len(alarm.signals) == 1 else "stand above their thresholds"
    )
    print(f"ALARM at step {alarm.step} (image {len(until)}, of {time}): {', '.join(alarm.signals)} "
          f"{verb}; cause: {alarm.cause}")  # fmt: skip
    for name in alarm.ids[:SHOWN]:
        print(f"  look at {folder / name}")
    print(f"  advice: {alarm.advice}")


def _retrain(command: Sequence[str], *, check: bool) -> None:
    """Run the lesson that retrains; its output is this command's."""
    print(f"  retraining: {' '.join(command[2:])}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if check and code:
        raise CourseError(
            f"the retraining ended with code {code}; it is not started again for this alarm: mend "
            "the cause, and give the command yourself"
        )


def _labeled(arguments: argparse.Namespace) -> str:
    """The labeled images as a later command finds them."""
    if arguments.retrain and not arguments.labeled:
        raise CourseError("--retrain needs images with captions: name them with --labeled")
    rule = rule_of("source", "")
    labeled = rule.settled(arguments.labeled) if arguments.labeled else ""
    if labeled and (missing := rule.missing(labeled)):
        raise CourseError(f"--labeled {arguments.labeled!r}: {missing}")
    return labeled


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share above 0 and below 1")
    return value
