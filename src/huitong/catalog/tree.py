"""The tree of divisions as stores need it: by parents alone, whatever the codes and the editions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from huitong.model.party import Division


def parents_first(divisions: Iterable[Division]) -> Iterator[Division]:
    """All of them, each after its parent, by code among those of one parent; one whose parent is not there stands as a root."""
    by_code = {division.code: division for division in divisions}
    children: dict[str | None, list[Division]] = {}
    for division in sorted(by_code.values(), key=lambda one: one.code, reverse=True):
        children.setdefault(division.parent if division.parent in by_code else None, []).append(division)
    waiting = children.get(None, [])
    while waiting:
        division = waiting.pop()
        yield division
        waiting.extend(children.get(division.code, ()))


def line_up(code: str, parents: Mapping[str, str | None]) -> Sequence[str]:
    """The code, its parent, the parent of that, and so on to the root; just the code if it is not known."""
    line = [code]
    while (parent := parents.get(line[-1])) is not None and parent not in line:
        line.append(parent)
    return line
