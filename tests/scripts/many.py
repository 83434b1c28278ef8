"""``python -m tests.scripts.many OUT LOGDIR SCRIPT…``: profile scripts in one process, outcomes as JSON."""

import json
import sys
from pathlib import Path

from stallscope.profiling.run.options import Options
from stallscope.profiling.run.session import profile


def main() -> None:
    """Profile each script given on the command line."""
    out, logdir, *scripts = sys.argv[1:]
    outcomes = {}
    for script in scripts:
        options = Options(target=script, is_module=False, args=(), logdir=Path(logdir), progress=False)
        outcome = profile(options)
        folder = outcome.run_folder
        outcomes[Path(script).stem] = {
            "folder": None if folder is None else str(folder.absolute()),
            "messages": outcome.messages,
            "exit_code": outcome.exit_code,
        }
    Path(out).write_text(json.dumps(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main()
