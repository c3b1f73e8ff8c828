"""h2spec against the port of `outcrop serve`, in plaintext and over TLS."""

import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from conftest import FIGURES, TARGET, documented, known, serving, suite

# The port answers most requests of h2spec without reading their bodies, so what h2spec sends after the headers of a request can come after the
# end of the answer. h2spec takes the answer for a failure then. So a case fails only if it fails every time: in at least three runs, and in
# up to twelve.
TIMES = 3, 12


def cases(path):
    """Each case, and whether it passed. Some titles are used twice in a section."""
    numbers = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('package')} | {case.get('classname')}"
        numbers[name] = numbers.get(name, 0) + 1
        number = f" ({numbers[name]})" if numbers[name] > 1 else ""
        yield name + number, case.find("error") is None and case.find("failure") is None


@pytest.mark.parametrize("transport", ["plaintext", "TLS"])
def test_every_case_passes_or_fails_as_it_is_known_to(tmp_path, transport):
    flags, tls = [], []
    if transport == "TLS":
        subprocess.run([TARGET / "outcrop", "tls", "self-signed", "--out", tmp_path], check=True, capture_output=True)
        flags = ["--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem"]
        tls = ["-t", "-k"]
    listed = {case for group in known("h2spec.txt") for case in group.cases if case.startswith(f"{transport} | ")}
    passed, failed = {}, set()
    with serving("outcrop", "serve", "--local", "--listen", "127.0.0.1:0", *flags) as port:
        for time in range(TIMES[1]):
            if time >= TIMES[0] and failed <= listed:
                break
            report = tmp_path / "report.xml"
            suite("h2spec", "-h", "127.0.0.1", "-p", port, "-S", "-j", report, *tls)
            for case, this_time in cases(report):
                passed[case] = passed.get(case, False) or this_time
            failed = {f"{transport} | {case}" for case, ever in passed.items() if not ever}
    assert len(passed) > 140, passed
    assert failed - listed == set(), "these fail and are not listed in known/h2spec.txt"
    assert listed - failed == set(), "these are listed in known/h2spec.txt and pass, or do not exist"
    good = len(passed) - len(failed)
    FIGURES.append(f"h2spec, {transport}: {len(passed)} cases, {good} passed, {len(failed)} failed as is known")
    documented(f"| h2spec, {transport} | {len(passed)} | {good} | {len(failed)} | 0 |")
