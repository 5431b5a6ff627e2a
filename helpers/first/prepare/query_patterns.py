"""What gives away that a text is no query: instructions, refusals, the form of an answer.

Patterns are for plain text (lower case, straight apostrophes); ``FORMAT`` is for the text itself.
"""

import re


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(patterns)})")


FORMAT = re.compile(
    r"[{}\[\]<>|`*#=\\~^@_%\n\r\t]|https?:|www\.|&\w+;|[\U0001F000-\U0001FAFF\u2600-\u27BF]"
    r"|^\s*[\"“'].*[\"”']\s*$|^\s*(?:[-•]|\d\d?[.)])\s"
)
LABEL = re.compile(r"\b(\w+)(?:\s*\d+)?\s*:")
INSTRUCTION = _any(
    r"(?:ignore|disregard|forget|override|bypass)\b.*"
    r"\b(?:previous|prior|above|all|any|these|instruction\w*|prompt|rules?|guidelines|everything|before)\b",
    r"(?:system|assistant|user|human|developer|ai)\s*:",
    r"you (?:are|must|will|should)\b",
    r"your (?:task|job|role|answer|output|response)\b",
    r"as (?:requested|an ai|a language model|instructed|you asked)\b",
    r"language model\b",
    r"here(?:'s| is| are)\b.*\b(?:query|queries|answer|results?|search|text|output|example)\b",
    r"(?:write|compose|generate|output|print|repeat|respond|reply|answer|translate|summari[sz]e)\b",
    r"(?:explain|describe|rewrite|return|pretend|roleplay)\b",
    r"(?:poem|story|essay|joke|song|haiku|script|sql|python|jailbreak|metadata|tokens?)\b",
    r"(?:instructions?|prompts?)\b",
    r"(?:sure|certainly|absolutely|of course)\s*[,!.:]",
    r"let me know\b",
    r"hope this helps\b",
    r"feel free\b",
    r"drop table\b",
    r"(?:curl|sudo|rm) -?",
)
REFUSAL = _any(
    r"(?:sorry|apologi[sz]e|apologies|unfortunately|regret)\b",
    r"(?:can't|can not|cannot|could not|couldn't|won't|will not|unable|not able)\b",
    r"(?:not allowed|not possible|refuse|decline|inappropriate|against my)\b",
    r"(?:i|we) (?:do not|don't) (?:have|feel|think|see)\b",
    r"no (?:query|information|data|answer)\b",
    r"(?:n/a|null|none|undefined|unknown|not available|not specified|insufficient)\b",
)
# What the asker does not know, or wants it for, says nothing of the car.
UNSURE = _any(
    r"(?:not sure|unsure)\b",
    r"(?:do not|don't|can't|cannot) (?:know|remember|recall|find|decide|wait|tell)\b",
    r"(?:any|whatever|what|which) colou?r\b",
    r"(?:near me|close to me|nearby|school project|for school|track down|in stock|from behind)\b",
)
COMPARED = re.compile(
    r"\b(?:before|after|since|until|till|pre|post|than)[\s-]+'?\d\d"
    r"|\b(?:or|and) (?:later|newer|older|earlier|up|above|below)\b|\d\d\+"
    r"|\b(?:newer|older|newest|oldest|latest)\b"
)
MONEY = re.compile(r"[$€£]\s*\d|\d\s*[$€£]")
