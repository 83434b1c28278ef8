"""``python -m stallscope``: the same as the ``stallscope`` command."""

from stallscope.cli import main

if __name__ == "__main__":
    main()
