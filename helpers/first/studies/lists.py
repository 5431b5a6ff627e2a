"""Lists in parameters: what a lesson is given as text with commas."""


def words(text: str) -> list[str]:
    """The parts of a comma-separated parameter, without spaces around them, each once.

    >>> words("sushi, maki,")
    ['sushi', 'maki']
    """
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def numbers(text: str, name: str) -> list[float]:
    """The numbers of a comma-separated parameter, in order and each once.

    Raises
    ------
    ValueError
        If there is none, or one is no number.

    >>> numbers("0.5, 0.1", "alphas")
    [0.1, 0.5]
    """
    try:
        found = sorted({float(part) for part in words(text)})
    except ValueError as error:
        raise ValueError(
            f"parameter {name} is {text!r}: give numbers with commas, as in '0.1,0.5' ({error})"
        ) from error
    if not found:
        raise ValueError(f"parameter {name} is empty: give numbers with commas, as in '0.1,0.5'")
    return found


def whole_numbers(text: str, name: str, *, least: int = 1) -> list[int]:
    """The whole numbers of a comma-separated parameter, in order and each once.

    Raises
    ------
    ValueError
        If there is none, or one is no whole number of at least ``least``.

    >>> whole_numbers("200, 50", "sizes")
    [50, 200]
    """
    parts = words(text)
    if not parts or not all(part.isdecimal() and int(part) >= least for part in parts):
        raise ValueError(
            f"parameter {name} is {text!r}: give whole numbers of at least {least} with commas, "
            "as in '50,200'"
        )
    return sorted({int(part) for part in parts})
