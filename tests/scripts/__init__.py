"""Scripts that run torch: trainings that tests share, how they are started, and what they left behind.

``processes`` starts a python of its own for each script; ``forked`` starts it from a server that has torch loaded
already, which is what most tests want: the same functions, a tenth of the time.
"""
