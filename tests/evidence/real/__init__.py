"""The answers of real traces, judged one by one."""
