"""Steps that the program itself marks, by ``p.step()``: what the hooks see is counted and moves no boundary."""

from __future__ import annotations

from stallscope.profiling.watch.steps import StepTracker


class MarkedSteps(StepTracker):
    """A tracker whose only boundaries are its marks."""

    def __init__(self, before: StepTracker) -> None:
        """Take over from ``before``, which followed the thread until its first mark."""
        super().__init__()
        self._marks = 0
        self.optimizer_steps, self.scaler_updates = before.optimizer_steps, before.scaler_updates
        self.root_forwards, self.evaluation_forwards = before.root_forwards, before.evaluation_forwards
        self.fetches = before.fetches

    def mark(self) -> None:
        """Note that a step ends here, and the next one begins."""
        self._marks += 1
        self.gradient_free, self._gradient_free = self._gradient_free, 0
        self.fetched, self._fetched = self._fetched, 0

    # --- what is known ---------------------------------------------------------------------------

    @property
    def source(self) -> str:
        """How steps are found."""
        return "marked"

    @property
    def settled(self) -> bool:
        """Whether boundaries can be relied on: from the first one."""
        return self._marks > 0

    @property
    def used_gradients(self) -> bool:
        """Nothing is concluded from that here."""
        return False

    @property
    def sole_optimizer(self) -> int | None:
        """Optimizers do not tell steps here."""
        return None

    @property
    def completed(self) -> int:
        """Steps so far."""
        return self._marks

    def total(self) -> int:
        """Steps of the whole run."""
        return self._marks

    def finish(self) -> bool:
        """False: what comes after the last mark is no step."""
        return False

    def unblind(self) -> bool:
        """Report forwards again; a boundary is always here and now."""
        self.blind = False
        return True

    # --- events ----------------------------------------------------------------------------------

    def fetch(self) -> bool:
        """Count a batch."""
        self.fetches += 1
        self._fetched += 1
        return False

    def forward(self, *, grad: bool, stateful: bool = True) -> bool:  # noqa: ARG002 - the tracker's signature
        """Count a call of a module."""
        self.root_forwards += 1
        self.evaluation_forwards += not grad
        self._gradient_free += not grad
        return False

    def optimizer_start(self, key: int) -> bool:  # noqa: ARG002
        """Do nothing."""
        return False

    def optimizer_end(self, key: int, *, in_backward: bool = False) -> bool:  # noqa: ARG002
        """Count an optimizer step."""
        self.optimizer_steps += 1
        return False

    def scaler_update(self) -> bool:
        """Count ``GradScaler.update``."""
        self.scaler_updates += 1
        return False
