"""What must hold in every case, whatever went wrong: read from outside, and held against what rollsafe says."""

from tests.testbed import TOKEN, Result, Testbed
from tests.testbed.apache import PASSWORD
from tests.testbed.bed import ADMIN

OUTCOMES = {0: "done", 2: "invalid", 10: "refused", 20: "stopped", 30: "node-out", 40: "unknown"}


def sound(bed: Testbed, result: Result, *expected: int) -> dict:
    """Hold the common truths; returns the `run.finished` event. `expected`: the exit codes that are right here."""
    finished = result.finished
    told = f"{result.text}\n{bed.observer.history()}"
    assert result.exit in expected, told
    assert finished["exit_code"] == result.exit, told
    assert finished["outcome"] == OUTCOMES[result.exit], told
    assert finished["message"].strip(), told
    assert len(bed.observer.most_out_at_once()) <= 1, f"two nodes were out by our hand at once:\n{told}"
    assert bed.observer.stopped_in_service() == [], told
    assert [r for r in bed.cut_requests() if ": scim " in r] == [], f"a SCIM request was cut:\n{told}"
    truth_about_members(bed, finished, told)
    truth_about_claims(bed, result.exit, told)
    no_secrets(bed, result)
    return finished


def truth_about_members(bed: Testbed, finished: dict, told: str) -> None:
    """`left_out` is what an observer sees out; 0, 10 and 20 mean: as found."""
    different = {line.partition(": ")[0] for line in bed.observer.not_as_found()}
    named = {f"{e['node']} on {e['endpoint'].replace(f':{ADMIN}', ':9999')}" for e in finished["left_out"]}
    if finished["exit_code"] in (0, 10, 20):
        assert different == set(), f"said to be as found, but: {different}\n{told}"
        assert named == set(), told
    elif finished["exit_code"] == 30:
        assert different <= named, f"out, and not named: {different - named}\n{told}"
        for entry in finished["left_out"]:
            assert entry["node"] in finished["message"], told
            assert "rollsafe" in entry["mend"], told


def truth_about_claims(bed: Testbed, code: int, told: str) -> None:
    """A run that leaves everything as found leaves no claim; one that leaves a node out, or can't say, keeps them."""
    left = claims(bed)
    if code in (0, 10, 20):
        assert left == [], f"claims left: {left}\n{told}"
    elif code == 30:
        assert left, f"no claim left for recover\n{told}"


def claims(bed: Testbed) -> list[str]:
    return sorted(path.name for path in (bed.folder / "claims").glob("*.json"))


def no_secrets(bed: Testbed, result: Result) -> None:
    """The canaries are in no output, journal, claim or log of sshd."""
    for text in (result.stdout, result.stderr, *(server.commands for server in bed.sshds.values())):
        assert TOKEN not in text
        assert PASSWORD not in text
    places = [bed.folder / "claims", bed.folder / "home"]
    for path in (p for place in places for p in place.rglob("*") if p.is_file()):
        content = path.read_bytes()
        assert TOKEN.encode() not in content, path
        assert PASSWORD.encode() not in content, path


def untouched(bed: Testbed, *names: str) -> None:
    """These nodes were neither written to nor restarted."""
    for name in names:
        assert name not in bed.observer.nodes_taken_out(), bed.observer.history()
        assert bed.node(name).restarts == 0


def nothing_touched(bed: Testbed) -> None:
    assert list(bed.observer.changes()) == []
    untouched(bed, *(node.name for node in bed.nodes))
