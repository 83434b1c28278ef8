"""The cross-check trace: three steps of 1 ms whose every figure is known from the drawing below.

host   .launch k1.launch k2.item: copy + cudaStreamSynchronize....python.......launch k3.........
GPU       |k1 100 µs |gap 25|k2 100 µs |gap|copy 2|        idle 216            |k3 100 µs|
       0  20       120    145        245  290   292                          508        608  1000
"""

from tests.builders import TraceBuilder


def three_steps(copy_to: str = "Pinned") -> TraceBuilder:
    """Per step 302 µs busy, 698 µs idle, host blocked for 243 µs in .item(), 3 launches, 1 copy."""
    builder = TraceBuilder()
    for start in (0, 1000, 2000):
        builder.step(start, 1000)
        builder.op("aten::mm", start + 8, 8).launch(start + 10, 5, kernel=("k1", start + 20, 100))
        builder.op("aten::mm", start + 28, 8).launch(start + 30, 5, kernel=("k2", start + 145, 100))
        builder.op("aten::item", start + 44, 256).op("aten::_local_scalar_dense", start + 44, 254)
        builder.memcpy(start + 45, 5, copy=(f"Memcpy DtoH (Device -> {copy_to})", start + 290, 2))
        builder.sync(start + 52, 243, name="cudaStreamSynchronize")
        builder.complete("cuda_sync", "Stream Sync", start + 52, 243, pid=0, tid=7, stream=7)
        builder.op("aten::add", start + 494, 12).launch(start + 500, 5, kernel=("k3", start + 508, 100))
    return builder
