"""Answers to the exercises of lesson 03: right ones, and mistakes with their hints."""

import numpy as np

# --- 03.hit_at_k and 03.reciprocal_rank ----------------------------------------------------------


def first_ranks(scores, query_ids, gallery_ids, *, ties="realistic"):
    ranks = []
    for row, query in zip(scores, query_ids, strict=True):
        good = [s for s, g in zip(row, gallery_ids, strict=True) if g == query]
        bad = [s for s, g in zip(row, gallery_ids, strict=True) if g != query]
        above = sum(s > max(good) for s in bad)
        level = sum(s == max(good) for s in bad)
        ranks.append(1 + above + {"realistic": level / 2, "best": 0, "worst": level}[ties])
    return np.array(ranks)


def hit_right(scores, query_ids, gallery_ids, k):
    return np.mean(first_ranks(scores, query_ids, gallery_ids) <= k)


def top(scores, query_ids, gallery_ids, k, axis=1, sign=-1):
    order = np.argsort(sign * scores, axis=axis, kind="stable")[:, :k]
    return gallery_ids[order] == np.asarray(query_ids)[:, None]


def hit_axis(scores, query_ids, gallery_ids, k):
    order = np.argsort(-scores.T, axis=1, kind="stable")[:, :k]
    keep = np.isin(gallery_ids, query_ids)
    hits = (query_ids[order] == gallery_ids[:, None]).any(axis=1)
    return hits[keep].mean()


def recall(scores, query_ids, gallery_ids, k):
    total = (gallery_ids[None] == query_ids[:, None]).sum(axis=1)
    return np.mean(top(scores, query_ids, gallery_ids, k).sum(axis=1) / total)


def hit_tie_of_all(scores, query_ids, gallery_ids, k):
    hits = []
    for row, query in zip(scores, query_ids, strict=True):
        best = row[gallery_ids == query].max()
        hits.append((row > best).sum() + ((row == best).sum() + 1) / 2 <= k)
    return np.mean(hits)


HIT_MISTAKES = [
    (recall, "recall@k"),
    (lambda *a: top(*a).sum(axis=1).mean(), "count every positive"),
    (lambda *a: top(*a).mean(), "precision@k"),
    (lambda s, q, g, k: top(s, q, g, k + 1).any(axis=1).mean(), "off by one"),
    (lambda s, q, g, k: np.mean(first_ranks(s, q, g) < k), "rank k itself counts"),
    (hit_axis, "the wrong axis"),
    (lambda *a: top(*a, axis=0).any(axis=1).mean(), "the wrong axis"),
    (lambda *a: top(*a, sign=1).any(axis=1).mean(), "order is reversed"),
    (lambda *a: top(*a).any(axis=1).mean(), "listed first"),
    (lambda s, q, g, k: np.mean(first_ranks(s, q, g, ties="best") <= k), "look perfect"),
    (lambda s, q, g, k: np.mean(first_ranks(s, q, g, ties="worst") <= k), "after all of them"),
    (hit_tie_of_all, "against each other"),
    (lambda *a: hit_right(*a) * len(a[1]), "number of hits"),
    (lambda *a: 0.123, "is due and you gave 0.123"),
    (lambda *a: [1, 2], "a single number is due"),
    (lambda *a: "high", "a single number is due"),
]  # fmt: skip


def mrr_right(scores, query_ids, gallery_ids):
    return np.mean(1 / first_ranks(scores, query_ids, gallery_ids))


def mrr_axis(scores, query_ids, gallery_ids):
    keep = np.isin(gallery_ids, query_ids)
    return mrr_right(scores.T[keep], gallery_ids[keep], query_ids)


def mrr_every_positive(scores, query_ids, gallery_ids):
    found = top(scores, query_ids, gallery_ids, 99)
    return np.mean([np.mean(1 / (1 + np.flatnonzero(row))) for row in found])


def mrr_sorted(scores, query_ids, gallery_ids, sign=-1):
    return np.mean(1 / (1 + top(scores, query_ids, gallery_ids, 99, sign=sign).argmax(axis=1)))


MRR_MISTAKES = [
    (lambda *a: 1 / np.mean(first_ranks(*a)), "1 / \\(mean rank\\)"),
    (lambda *a: np.mean(first_ranks(*a)), "this is the mean rank"),
    (lambda *a: np.mean(1 / (1 + first_ranks(*a))), "off by one"),
    (mrr_every_positive, "over all positives"),
    (mrr_sorted, "listed first"),
    (lambda *a: mrr_sorted(*a, sign=1), "order is reversed"),
    (mrr_axis, "the wrong axis"),
    (lambda *a: np.mean(1 / first_ranks(*a, ties="best")), "look perfect"),
    (lambda *a: np.mean(1 / first_ranks(*a, ties="worst")), "after all of them"),
]  # fmt: skip

# --- 03.bootstrap_interval -----------------------------------------------------------------------


def means_of(values, groups, n, seed, *, pick="groups", replace=True, once=False, level_rows=True):
    rng = np.random.default_rng(seed)
    names = np.unique(groups)
    rows = {name: values[groups == name] for name in names}
    found = []
    for _ in range(n):
        if pick == "rows":
            found.append(rng.choice(values, values.size).mean())
            continue
        drawn = rng.choice(names, names.size, replace=replace)
        drawn = np.unique(drawn) if once else drawn
        parts = [rows[name] for name in drawn]
        found.append(
            np.concatenate(parts).mean() if level_rows else np.mean([p.mean() for p in parts])
        )
    return np.array(found)


def boot_right(values, groups, n, seed):
    return tuple(np.percentile(means_of(values, groups, n, seed), [2.5, 97.5]))


def boot(level=(2.5, 97.5), **options):
    return lambda v, g, n, s: np.percentile(means_of(v, g, n, s, **options), level)


def boot_std(z):
    def interval(values, groups, n, seed):
        means = means_of(values, groups, n, seed)
        return means.mean() - z * means.std(), means.mean() + z * means.std()

    return interval


BOOT_MISTAKES = [
    (boot(pick="rows"), "over single rows"),
    (boot_std(1), "one standard deviation"),
    (boot_std(1.96), "symmetric spread"),
    (boot(level=(5, 95)), "5th and 95th"),
    (boot(level=(0.025, 0.975)), "takes 2.5 and 97.5"),
    (boot(once=True), "must count twice"),
    (boot(replace=False), "with\\* replacement"),
    (boot(level_rows=False), "unequal size"),
    (boot(level=(97.5, 2.5)), "low is above high"),
    (lambda v, g, n, s: boot_right(v, g, n, 0), "seed makes no difference"),
    (lambda v, g, n, s: boot_right(v, g, n, None), "two calls with the same seed"),
    (lambda v, g, n, s: boot_right(v, g, 1000, s), "n_resamples=1"),
    (lambda v, g, n, s: (v.mean() - v.std() + s / 1e6, v.mean() + v.std()), "times as wide"),
    (lambda v, g, n, s: np.percentile(v, [0.0, 100]) + s / 1e6, "single values"),
    (lambda v, g, n, s: v.mean(), "two numbers are due"),
    (lambda v, g, n, s: (float("nan"), 1.0), "finite"),
]  # fmt: skip


def shuffled(caption, rng):
    return " ".join(rng.permutation(caption.split()))


RIGHT = {
    "03.hit_at_k": [hit_right],
    "03.reciprocal_rank": [mrr_right],
    "03.bootstrap_interval": [boot_right],
    "03.same_or_different": ["not distinguishable", " Not  Distinguishable "],
    "03.shuffle_words": [shuffled],
}
WRONG = {
    "03.hit_at_k": HIT_MISTAKES,
    "03.reciprocal_rank": MRR_MISTAKES,
    "03.bootstrap_interval": BOOT_MISTAKES,
    "03.same_or_different": [("real", "one query of 54"), ("same", "answer"), (1, "answer")],
    "03.shuffle_words": [
        (lambda caption, rng: caption, "the order is the same"),
        (lambda caption, rng: rng.permutation(caption.split()), "a text is due"),
        (lambda caption, rng: "".join(rng.permutation(list(caption))), "not the same"),
        (lambda caption, rng: " ".join(sorted(caption.split())), "every generator"),
    ],
}
