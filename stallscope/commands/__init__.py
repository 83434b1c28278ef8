"""One command a module, a function of its name: options in, one library call, print. Its docstring is its help.

``cli`` imports a module when its command is called. What it returns is the exit code, or what gives it.
"""
