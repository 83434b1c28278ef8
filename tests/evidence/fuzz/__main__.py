"""Coverage-guided fuzzing of the tolerant scanner and of the whole reader: ``make fuzz``, or one target by name.

    python -m tests.evidence.fuzz scan|read [--seconds 60] [--corpus FOLDER]

Needs atheris (the extra ``fuzz``; Linux). An input that breaks a promise is kept as a file ``crash-…`` in the corpus
folder; the last line says how many inputs were run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import atheris

from tests import ROOT

with atheris.instrument_imports(include=["stallscope.traces"]):
    from tests.evidence.fuzz import targets


def main() -> None:
    """Run one target for a stated time."""
    parser = argparse.ArgumentParser(prog="python -m tests.evidence.fuzz")
    parser.add_argument("target", choices=sorted(targets.TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, default=ROOT / ".fuzz")
    told = parser.parse_args()
    corpus = told.corpus / told.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(targets.seeds(told.target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = told.corpus / "words.dict"
    words.write_text("".join(f'"{_quoted(word)}"\n' for word in targets.WORDS), encoding="ascii")
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={told.seconds}",
            f"-dict={words}",
            f"-artifact_prefix={corpus}/",
            "-max_len=4096",
            "-timeout=10",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
            str(corpus),
        ],
        targets.TARGETS[told.target],
    )
    atheris.Fuzz()


def _quoted(word: bytes) -> str:
    """``word`` as libFuzzer's dictionaries spell it."""
    return "".join(chr(c) if 32 < c < 127 and c not in b'"\\' else f"\\x{c:02x}" for c in word)


if __name__ == "__main__":
    main()
