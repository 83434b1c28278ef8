"""The built-in training scripts: each is a plain script a person could have written, and is run as one."""
