"""Answers to the exercises of lesson 10: right ones, and mistakes with their hints."""

import numpy as np

# --- 10.recall_of_nearest ------------------------------------------------------------------------


def recall_right(found, truth):
    return np.mean([np.isin(t, f).mean() for f, t in zip(found, truth, strict=True)])


def recall_sets(found, truth):
    shares = []
    for f, t in zip(found.tolist(), truth.tolist(), strict=True):
        shares.append(len(set(f) & set(t)) / len(t))
    return sum(shares) / len(shares)


def jaccard(f, t):
    return len(set(f) & set(t)) / len(set(f) | set(t))


def over_found(found, truth):
    kept = [[x for x in f if x >= 0] for f in found.tolist()]
    pairs = zip(kept, truth.tolist(), strict=True)
    return np.mean([len(set(f) & set(t)) / max(1, len(f)) for f, t in pairs])


RECALL_MISTAKES = [
    (lambda f, t: np.mean([np.isin(a, b).any() for a, b in zip(t, f, strict=True)]), "a hit rate"),
    (lambda f, t: (f == t).mean(), "compare sets"),
    (lambda f, t: (f[:, 0] == t[:, 0]).mean(), "only the first"),
    (lambda f, t: recall_right(f, t) * t.shape[1], "divide by how many there are"),
    (lambda f, t: recall_right(f, t) * t.size, "a sum over all queries"),
    (lambda f, t: 1 - recall_right(f, t), "that was missed"),
    (lambda f, t: np.mean([jaccard(a, b) for a, b in zip(f.tolist(), t.tolist(), strict=True)]),
     "Jaccard"),
    (lambda f, t: np.isin(f, t).mean(), r"for \*another\* query"),
    (over_found, "how many were found"),
    (lambda f, t: 0.77, "is due and you gave 0.77"),
    (lambda f, t: [1, 2], "a single number is due"),
    (lambda f, t: "high", "a single number is due"),
]  # fmt: skip

# --- 10.hamming ----------------------------------------------------------------------------------


def bit_by_bit(queries, gallery):
    return [
        [sum(bin(int(x) ^ int(y)).count("1") for x, y in zip(q, g, strict=True)) for g in gallery]
        for q in queries
    ]


def counted(queries, gallery):
    return np.bitwise_count(queries[:, None] ^ gallery).sum(axis=2)


HAMMING_MISTAKES = [
    (lambda q, g: (q[:, None] != g).sum(axis=2), "bytes that differ"),
    (lambda q, g: 8 * g.shape[1] - counted(q, g), "bits that agree"),
    (lambda q, g: np.abs(q[:, None].astype(int) - g).sum(axis=2), "subtracted as numbers"),
    (lambda q, g: np.bitwise_count(q[:, None] & g).sum(axis=2), "AND counts"),
    (lambda q, g: counted(q, g).T, "row for each query"),
    (lambda q, g: counted(q, g) / (8 * g.shape[1]), "the share"),
    (lambda q, g: counted(q, g)[0], "has shape"),
    (lambda q, g: counted(q, g) + 1, "is due, and you gave"),
    (lambda q, g: "near", "a table of numbers"),
]

RIGHT = {
    "10.recall_of_nearest": [recall_right, recall_sets],
    "10.hamming": [bit_by_bit, counted],
    "10.index_size": [10**7 * 768 * 4 / 2**30, 28.6, "28.61", 30.72],
}
WRONG = {
    "10.recall_of_nearest": RECALL_MISTAKES,
    "10.hamming": HAMMING_MISTAKES,
    "10.index_size": [
        (10**7 * 768 * 4, "bytes: divide"), (10**7 * 768 / 2**30, "four bytes"),
        (10**7 * 768 * 32 / 2**30, "bits"), (57.2, "float64"), (14.3, "bf16"),
        (10**7 * 768 * 4 / 2**20, "MiB"), (0.0286, "too small"), (286, "a hundred million"),
        (2.86, "one million"), (0.894, "binary codes"), (12, "12 is not it"),
        ("much", "a number of GiB"), (True, "a number of GiB"),
    ],
}  # fmt: skip
