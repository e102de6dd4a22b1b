"""Which local names of a function may still be read once it goes on from a call? The usual analysis, over bytecode."""

import dis
from functools import cache
from types import CodeType

READS = ("LOAD_FAST", "LOAD_FAST_CHECK")
WRITES = ("STORE_FAST", "DELETE_FAST")
ENDS = ("RETURN_VALUE", "RERAISE", "RAISE_VARARGS")
ALWAYS = ("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")


@cache
def live(code: CodeType, call: int) -> frozenset[str]:
    """The names that may be read after the call at this offset, whether it returns or raises. What an inner function
    shares with this one always counts."""
    shared = frozenset(code.co_cellvars) | frozenset(code.co_freevars)
    at = max(offset for offset in _ways(code) if offset <= call)  # what follows the call itself is its cache
    later = frozenset().union(*(_before(code)[it] for it in _ways(code)[at]))
    return shared | later | _looped(code, at)


def _looped(code: CodeType, at: int) -> frozenset[str]:
    """What the loops around it go over, and where they are."""
    steps = list(dis.get_instructions(code))
    lines = {
        step.positions.lineno
        for step in steps
        if step.opname == "FOR_ITER" and step.offset <= at < int(step.argval) and step.positions is not None
    }
    return frozenset(
        str(step.argval)
        for step in steps
        if step.opname in READS + WRITES and step.positions is not None and step.positions.lineno in lines
    )


@cache
def _ways(code: CodeType) -> dict[int, frozenset[int]]:
    """From each instruction, where the code may go on."""
    steps = list(dis.get_instructions(code))
    ways: dict[int, set[int]] = {step.offset: set() for step in steps}
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs:
            ways[step.offset].add(int(step.argval))
        if after is not None and step.opname not in ENDS + ALWAYS:
            ways[step.offset].add(after.offset)
    for entry in dis.Bytecode(code).exception_entries:
        for offset, found in ways.items():
            if entry.start <= offset < entry.end:
                found.add(entry.target)
    return {offset: frozenset(found) for offset, found in ways.items()}


@cache
def _before(code: CodeType) -> dict[int, frozenset[str]]:
    """For each instruction, the names that it or a later one may read before they are written."""
    steps = list(dis.get_instructions(code))
    alive: dict[int, frozenset[str]] = {step.offset: frozenset() for step in steps}
    changed = True
    while changed:
        changed = False
        for step in reversed(steps):
            names = frozenset().union(*(alive[it] for it in _ways(code)[step.offset]))
            if step.opname in WRITES:
                names -= {step.argval}
            elif step.opname in READS:
                names |= {step.argval}
            if names != alive[step.offset]:
                alive[step.offset] = names
                changed = True
    return alive
