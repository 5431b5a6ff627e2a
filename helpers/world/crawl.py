"""The world with captions as a crawl brings them: in several languages, with what the web leaves on
them, and the truth beside: what was meant, in which language, and what came onto it."""

from dataclasses import dataclass
from functools import cached_property

from helpers.course.code import Modules
from helpers.data.records import Caption
from helpers.repro import hash_of
from helpers.store.artefacts import code_of
from helpers.world.domain import Domain
from helpers.world.languages import NAMES, in_language
from helpers.world.noise import KINDS, SEVERAL, add_noise
from helpers.world.phrases import chance, pick
from helpers.world.world import World

CAPTIONS = {
    "clean": {"languages": ("en",), "noise": 0.0},
    "mixed": {"languages": tuple(NAMES), "noise": 0.5},
}
DRAW = 1  # draw 0 is what the cleaning rules were written on: no caption of it is scored
SECOND_WRITER = 0.25  # share of the recipes that the second writer described
UNDETERMINED = "und"  # ISO 639-2: what such a source declares of its captions' language


@dataclass(frozen=True)
class Truth:
    """A caption and what is known of it.

    Attributes
    ----------
    text : str
        As it comes.
    clean : str
        The English caption that the world has without languages and noise.
    plain : str
        The caption in its language, before the noise.
    language : str
        ``en``, ``de``, ``es``, ``fr`` or ``it``.
    noise : str
        A kind of noise, or ``none``.
    writer : int
        Whose words and traces they are, 0 or 1.
    kind : str
        ``brief``, ``standard`` or ``detailed``.
    """

    text: str
    clean: str
    plain: str
    language: str
    noise: str
    writer: int
    kind: str


@dataclass(frozen=True)
class CrawledWorld(World):
    """A world whose recipes and pictures are the same and whose captions are not.

    Attributes
    ----------
    languages : tuple of str
        Each caption is in one of them, all alike likely.
    noise : float
        Share of the captions with noise: of one kind, or of two at once, all alike likely.
    """

    languages: tuple[str, ...] = ("en",)
    noise: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        what, unknown = f"world:{self.domain.name}", set(self.languages) - set(NAMES)
        if self.domain.plans is None:
            raise ValueError(
                f"{what} has clean English captions alone; leave out captions, languages and noise"
            )
        if unknown or not self.languages or len(set(self.languages)) < len(self.languages):
            said = ",".join(self.languages)
            raise ValueError(f"languages={said} of {what}: give some of {','.join(NAMES)}")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise={self.noise:g} of {what} is a share, from 0 to 1")

    @property
    def name(self) -> str:
        """What results call this source."""
        plain = super().name
        options = f"languages={','.join(self.languages)}&noise={self.noise:g}"
        return f"{plain}{'&' if '?' in plain else '?'}{options}"

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the parameters and of the code that draws and describes."""
        code = code_of(*Modules().named(__name__, packages=("data", "world")))
        return hash_of([super().fingerprint, self.languages, self.noise, code])

    def captions(self, index: int) -> tuple[Caption, ...]:
        """The captions of recipe ``index``; their language is not declared."""
        return tuple(Caption(t.text, UNDETERMINED, t.kind) for t in self.truths(index))

    def truths(self, index: int) -> tuple[Truth, ...]:
        """The captions of recipe ``index`` with what is known of them; one writer wrote them."""
        rng = self.stream("languages", index, DRAW)
        writer, found = int(chance(rng, SECOND_WRITER)), []
        plans = self.domain.plans(self.attributes(index), self.stream("captions", index))
        for kind, said in plans:
            language, noisy = pick(rng, self.languages), chance(rng, self.noise)
            plain = in_language(said, language, writer=writer)
            trace = pick(rng, (*KINDS, SEVERAL)) if noisy else "none"
            text = plain
            if noisy:
                text = add_noise(plain, trace, rng, language=language, writer=writer)
            clean = in_language(said, "en")
            found.append(Truth(text, clean, plain, language, trace, writer, kind))
        return tuple(found)


def open_crawled(
    domain: Domain, n_recipes: int, seed: int, *, captions: str = "clean", **options
) -> CrawledWorld:
    """The crawled world of options as they stand in a source, such as ``languages="de,es"``.

    Raises
    ------
    ValueError
        If an option has no such value, or the domain has captions in English alone.
    """
    if captions not in CAPTIONS:
        raise ValueError(f"captions={captions} of world:{domain.name}: use {' or '.join(CAPTIONS)}")
    if "languages" in options:
        options["languages"] = tuple(part.strip() for part in options["languages"].split(","))
    return CrawledWorld(domain, n_recipes, seed, **{**CAPTIONS[captions], **options})


__all__ = ["CAPTIONS", "CrawledWorld", "Truth", "open_crawled"]
