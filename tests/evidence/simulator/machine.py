"""One machine: its constants, drawn from a seed within the ranges that real traces and publications show."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.evidence.simulator.noise import generator


@dataclass(frozen=True, slots=True)
class Profiler:
    """What recording costs the host, in µs; the same operators cost nothing of it when nobody records."""

    op_us: float = 0.9
    annotation_us: float = 2.2
    call_us: float = 1.8
    graph_node_us: float = 0.9
    kernel_gap_us: float = 0.1
    buffer_every_calls: int = 6_000  # an activity buffer is requested
    buffer_us: float = 300.0
    first_us: float = 500.0  # the first recorded step is slower
    frame_us: float = 0.8  # a Python function, where stacks are recorded


@dataclass(frozen=True, slots=True)
class Machine:
    """Times in µs, rates in bytes per µs (1 GB/s is 1 000), shares as fractions."""

    profiler: Profiler = Profiler()
    cores: int = 8
    host_scale: float = 1.0  # this host's speed against the reference host
    host_jitter: float = 0.12
    host_drift: float = 0.02
    run_difference: float = 0.01  # one process against another of the same program
    interruption_every_us: float = 40_000.0
    interruption_us: float = 60.0
    launch_us: float = 4.5
    launch_latency_us: float = 7.0
    wake_us: float = 1.5  # more latency on a device that slept
    wake_after_us: float = 200.0
    kernel_gap_us: float = 1.2
    cold_us: float = 0.3  # a kernel on a device that was idle runs longer
    cold_after_us: float = 20.0
    device_jitter: float = 0.02
    clock_drift: float = 0.008
    hot_share: float = 0.02  # how much slower a fully busy device runs than an idle one
    overlap_share: float = 0.15  # how much slower a kernel runs beside one on another stream
    cross_stream_us: float = 2.0
    queue_depth: int = 1_020
    queue_resume_us: float = 3.0
    sync_us: float = 2.5
    sync_return_us: float = 5.0
    copy_return_us: float = 4.5
    copy_setup_us: float = 1.4
    pageable_rate: float = 9_000.0
    pinned_rate: float = 24_000.0
    capability: tuple[int, int] = (8, 6)  # of the device; its bus comes with it
    host_copy_rate: float = 9_000.0
    hand_over_us: float = 12.0
    graph_call_us: float = 8.0
    graph_node_us: float = 0.02
    graph_latency_us: float = 4.0  # more than a kernel's
    graph_gap_us: float = 0.8
    worker_overhead: float = 0.12
    worker_jitter: float = 0.12
    next_us: float = 250.0
    memory_share: float = 0.02  # how much slower the host gets per busy worker
    wake_jitter: float = 0.25  # of everything that waits for a wake-up: returns from waits, hand-overs, launches
    pinned_scalar: bool = False  # `.item()` goes through pinned memory
    blocking: bool = False  # every launch and copy returns when its work has ended
    rocm: bool = False  # copies that the host waits for are one call


BUSES = (  # PCIe 3, 4 and 5, and devices that came with them
    ((11_000, 13_000), (7, 0)),
    ((11_000, 13_000), (7, 5)),
    ((22_000, 26_000), (8, 0)),
    ((22_000, 26_000), (8, 6)),
    ((22_000, 26_000), (8, 9)),
    ((45_000, 54_000), (9, 0)),
)


def drawn(*seed: object) -> Machine:
    """A machine of its own for each seed."""
    made = generator("machine", *seed)
    u = made.uniform
    bus, capability = made.choice(BUSES)
    if made.random() < 0.15:
        bus = BUSES[0][0]  # an older slot, or half of its lanes
    profiler = Profiler(
        op_us=u(0.5, 1.3),
        annotation_us=u(1.5, 3.5),
        call_us=u(0.9, 3.0),
        graph_node_us=u(0.4, 1.6),
        kernel_gap_us=u(0.0, 0.25),
        buffer_us=u(100, 600),
        first_us=u(0, 1_500),
    )
    return Machine(
        profiler=profiler,
        cores=made.choice((4, 8, 16, 32)),
        host_scale=u(0.6, 1.7),
        host_jitter=u(0.06, 0.2),
        host_drift=u(0.008, 0.03),
        run_difference=u(0.004, 0.015),
        interruption_every_us=u(20_000, 80_000),
        interruption_us=u(20, 120),
        launch_us=u(3.2, 6.5),
        launch_latency_us=u(5.5, 9.0),
        wake_us=u(0.0, 3.0),
        kernel_gap_us=u(0.9, 1.6),
        cold_us=u(0.0, 0.6),
        device_jitter=u(0.01, 0.04),
        clock_drift=u(0.003, 0.012),
        hot_share=u(0.0, 0.03),
        overlap_share=u(0.05, 0.3),
        queue_resume_us=u(2.0, 5.0),
        sync_us=u(1.8, 3.5),
        sync_return_us=u(3.5, 8.0),
        copy_return_us=u(3.5, 8.0),
        copy_setup_us=u(1.1, 2.0),
        pageable_rate=u(5_500, 13_000),
        pinned_rate=u(*bus),
        capability=capability,
        host_copy_rate=u(6_000, 14_000),
        hand_over_us=u(6.0, 22.0),
        graph_call_us=u(5.0, 13.0),
        graph_node_us=u(0.005, 0.08),
        graph_latency_us=u(1.0, 6.0),
        graph_gap_us=u(0.6, 1.2),
        worker_overhead=u(0.03, 0.25),
        worker_jitter=u(0.05, 0.2),
        next_us=u(100, 700),
        memory_share=u(0.0, 0.04),
        pinned_scalar=made.random() < 0.5,
    )


FREE = Profiler(0.0, 0.0, 0.0, 0.0, 0.0, buffer_us=0.0, first_us=0.0)  # a profiler that costs nothing


def exact(**changes: object) -> Machine:
    """The machine without chance, drift, cold starts or costs of recording; ``changes`` are constants of `Machine`."""
    still = Machine(
        profiler=FREE,
        host_jitter=0.0,
        host_drift=0.0,
        run_difference=0.0,
        interruption_every_us=1e15,
        interruption_us=1.0,
        wake_us=0.0,
        cold_us=0.0,
        device_jitter=0.0,
        clock_drift=0.0,
        hot_share=0.0,
        overlap_share=0.0,
        worker_jitter=0.0,
        memory_share=0.0,
        wake_jitter=0.0,
    )
    return replace(still, **changes)  # type: ignore[arg-type]
