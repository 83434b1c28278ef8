"""Make ``docs/claims.md`` from the results in ``docs/workloads``: ``python -m tests.evidence.claims [--write]``."""

import sys

from tests.evidence.claims.page import PAGE, page, results

text = page(results())
if "--write" in sys.argv[1:]:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    sys.stderr.write(f"written: {PAGE.name}\n")
else:
    sys.stdout.write(text)
