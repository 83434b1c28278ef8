"""Measurements and their means: the simulator, the benchmarks, the GPU evidence, the claims, the fuzzers."""
