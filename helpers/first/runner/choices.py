"""What each parameter that is a text can say, by its name; the numbers have ``ranges``.

Where a name means something else in one lesson, the table names that lesson's number before it:
``05.method``.
"""

from collections.abc import Mapping

from helpers.first.models.method_names import LORA_METHODS, METHODS
from helpers.first.runner.places import DomainText, Model, Place, SourceText
from helpers.first.runner.ranges import LEARNING_RATE, Range, at_least
from helpers.first.runner.texts import Numbers, Text, Words

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
MORE_METHODS = (
    "full", "pissa", "loha", "lokr", "oft", "hra", "vera", "ia3", "biases", "norms", "rla", "prolip",
)  # fmt: skip
ROW = r"(r\d+|a\d+(\.\d+)?|[vt](\d+|all)|heads|(q|k|v|o|f1|f2)+|d\d*\.?\d+|{methods})"
ROW = ROW.replace("{methods}", "|".join((*METHODS, *MORE_METHODS)))
UP_TO_ONE = Range("above 0 and at most 1", lambda value: 0 < value <= 1)
QUERIES = Words(
    options=("rules", "ADDRESS#MODEL such as http://127.0.0.1:11434/v1#qwen2.5:14b"),
    pattern=r"https?://[^#\s]+#\S+",
)
MIXTURE = r"(\d+ real)?( \+ )?(\d+ synthetic( gap (0?\.\d+|[01]))?)?( watermarked)?(?<=.)"
FOLDER, FILE = Place(), Place(kind="file")
WRITTEN = Place(new=True, number=False)

TEXTS: Mapping[str, Text] = {
    "source": SourceText(),
    "other": SourceText(),
    "replay": SourceText(),
    "transfer": SourceText(),
    "cars": SourceText(),
    "zone": WRITTEN,
    "report": WRITTEN,
    "database": Place(kind="file", new=True, number=False),
    "real": DomainText(),
    "synthetic": DomainText(),
    "masks": FOLDER,
    "adapter": FOLDER,
    "arrivals": FOLDER,
    "augmentation": FILE,
    "ratings": FILE,
    "model": Model(),
    "second": Model(),
    "blip2": Model(),
    "generator": Model(),
    "detector": Model(words=("fitted",)),
    "translator": Model(words=("glossary",), address=True),
    "translator_model": Text(),
    "inpainter": Model(words=("navier-stokes", "telea")),
    "device": Words(options=("auto", "cpu", "cuda", "mps"), pattern=r"cuda:\d+"),
    "precision": Words(options=("fp32", "bf16")),
    "fit": Words(options=("crop", "pad", "stretch")),
    "marks": Words(options=("auto", "drawn", "none", "found")),
    "query_writer": QUERIES,
    "query_judge": QUERIES,
    "negatives": Words(options=("random", "hard", "none")),
    "accumulate": Words(options=("cached", "plain")),
    "method": Words(options=LORA_METHODS),
    "05.method": Words(options=(*METHODS, *MORE_METHODS)),
    "05.run_study": Words(",", options=("placement", "leaderboard"), least=0),
    "modules": Words(",", options=PROJECTIONS),
    "conditions": Words(",", options=("none", "images", "texts", "both")),
    "rows": Words(
        ",",
        options=("original", "names such as r4 v3 heads", "a .yaml file"),
        pattern=rf"{ROW}( {ROW})*|.+\.ya?ml",
    ),
    "search_rates": Numbers(each=LEARNING_RATE, exactly=2),
    "learning_rates": Numbers(each=LEARNING_RATE),
    "mixtures": Words(",", options=("100 real", "25 real + 75 synthetic"), pattern=MIXTURE),
    "opacity": Numbers(each=UP_TO_ONE, exactly=2),
    "batch_sizes": Numbers(each=at_least(2), whole=True),
    "query": Text(),
    "labeled": Text(),
}


def rule_of(name: str, lesson: str) -> Text:
    """The rule of a parameter of a lesson; any text where the table has none.

    >>> rule_of("method", "05_placement_study").options[-1]
    'prolip'
    """
    return TEXTS.get(f"{lesson[:2]}.{name}") or TEXTS.get(name) or Text()
