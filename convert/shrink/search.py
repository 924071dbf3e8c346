"""Which forms to weigh, and in which order: only those that may win.

Each scale is tried from its middle; the smallest form within the budget is what counts, and coarser ones than a refused
one are not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from convert.shrink.choose import Form
from convert.shrink.variants import LEAF_BITS, THRESHOLDS, TREE_SHARES, Trim, trim_or_none

Weigh = Callable[[str], Form | None]
_COMBINATIONS = 6


def tree_forms(weigh: Weigh, *, fewer: bool) -> list[Form]:
    """Forms with smaller trees, weighed. `weigh` answers None where a form changes nothing, as milder ones then do
    neither; `fewer`: forms with fewer trees may be weighed too.
    """
    made: dict[Trim, Form | None] = {}

    def fits(trim: Trim) -> bool:
        made[trim] = weigh(trim.name)
        form = made[trim]
        return form is None or form.refused is None

    def real(trim: Trim) -> bool:
        return made.get(trim) is not None

    bits = _smallest(LEAF_BITS, lambda value: fits(Trim(bits=value)))
    bits = bits if real(Trim(bits=bits)) else None
    most = _smallest(THRESHOLDS, lambda value: fits(Trim(thresholds=value)))
    most = most if real(Trim(thresholds=most)) else None
    best = Trim(most, bits)
    if bits is not None and most is not None:
        best = next((trim for trim in _combinations(most, bits) if fits(trim)), Trim(most))
    if fewer:
        for percent in TREE_SHARES:
            if fits(Trim(best.thresholds, best.bits, percent)):
                break
    return [form for form in made.values() if form is not None]


def smallest(names: Sequence[str]) -> set[str]:
    """Those of the forms that no other one is a coarser version of, and so no larger."""
    trims = {name: trim for name in names if (trim := trim_or_none(name)) is not None}
    return {
        name for name in names if not any(_coarser(trims[other], trims.get(name)) for other in trims if other != name)
    }


def _coarser(other: Trim, trim: Trim | None) -> bool:
    if trim is None:
        return False
    pairs = ((getattr(other, field), getattr(trim, field)) for field in ("thresholds", "bits", "percent"))
    return all(ours is None or (theirs is not None and theirs <= ours) for theirs, ours in pairs)


def _smallest(scale: tuple[int, ...], fits: Callable[[int], bool]) -> int | None:
    """The smallest value that fits, when every larger one does: by halving."""
    low, high = 0, len(scale)
    while low < high:
        middle = (low + high) // 2
        if fits(scale[middle]):
            high = middle
        else:
            low = middle + 1
    return scale[high] if high < len(scale) else None


def _combinations(most: int, bits: int) -> Iterator[Trim]:
    """Both changes together, from the smallest form: one of them milder in turn."""
    thresholds = THRESHOLDS[THRESHOLDS.index(most) :]
    leaves = LEAF_BITS[LEAF_BITS.index(bits) :]
    pairs = sorted(
        ((a + b, a, b) for a in range(len(thresholds)) for b in range(len(leaves))),
        key=lambda pair: (pair[0], -pair[2]),
    )
    return (Trim(thresholds[a], leaves[b]) for _, a, b in pairs[:_COMBINATIONS])
