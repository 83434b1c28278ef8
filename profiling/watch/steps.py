"""Events of one thread → the boundaries of its training steps. Pure: knows no torch.

A step is one training iteration. Its boundary is the first DataLoader fetch or root forward after the iteration's last
optimizer step, so that ``.item()``, logging and printing belong to the step they follow. Where forwards run only
inside the optimizer (LBFGS) the boundary is the start of the optimizer step; where no forward is ever seen
(a compiled training step, plain tensor code) it is the end of the optimizer step.
"""

from __future__ import annotations

from stallscope.profiling.watch.period import Period

INFERENCE_AFTER = 20  # root forwards without any optimizer step: then each root forward is a step
STREAK = 3  # iterations in a row without any forward or fetch: then the end of the optimizer step is the boundary
SEVERAL = 3  # closures in an optimizer's step, from which it warms up by itself
BACKWARD = -1  # stands for all optimizers that step inside a backward pass


class StepTracker:
    """What happened on one thread. Event methods return True where a step boundary lies: one ended, one begins.

    Counters are totals; ``gradient_free`` and ``fetched`` belong to the step that the last boundary ended.
    ``generation`` changes when the past turns out to be other than was believed (a period found, an optimizer
    stepping after what looked like inference): windows opened before are void.
    """

    def __init__(self) -> None:
        self.period = Period()
        self.generation = 0
        self.blind = False  # forwards are not reported: boundaries are the ends of iterations' last optimizer steps
        self.optimizer_steps = self.root_forwards = self.fetches = self.scaler_updates = self.evaluation_forwards = 0
        self.closures = 0  # root forwards that ran inside an optimizer's step
        self.bursts = False  # optimizers step inside the backward pass
        self.gradient_free = self.fetched = 0
        self._gradient_free = self._fetched = 0
        self._forwards = self._stateful = self._graded = 0  # since no optimizer has stepped
        self._boundaries = 0  # given while no optimizer had stepped, the first included
        self._group: list[int] = []  # optimizers since the last forward
        self._tokens: dict[frozenset[int], int] = {}
        self._members: list[frozenset[int]] = []
        self._open = True  # waiting for the event that begins a step
        self._at_end = False  # no forwards are ever seen: the boundary is the end of the optimizer step
        self._streak = 0  # iterations in a row that speak against _at_end
        self._seen = False  # a forward or fetch since the last iteration
        self._since_update = 0  # optimizer steps since the last GradScaler.update
        self._inside = False  # inside an optimizer step

    # --- what is known ---------------------------------------------------------------------------

    @property
    def source(self) -> str:
        """How steps are found: by the optimizer, by root forwards, or none."""
        if self.optimizer_steps or self.scaler_updates:
            return "optimizer"
        return "forward" if self.root_forwards else "none"

    @property
    def inference(self) -> bool:
        """Whether each root forward is a step."""
        return self.source == "forward" and self._counted() >= INFERENCE_AFTER

    @property
    def settled(self) -> bool:
        """Whether boundaries can be relied on by now."""
        return self.inference or self.period.settled

    @property
    def used_gradients(self) -> bool:
        """Whether root forwards ran with gradients on (training by hand, if no optimizer stepped)."""
        return self._graded > 0

    @property
    def sole_optimizer(self) -> int | None:
        """The one optimizer whose every step is a training step; None where things are less simple."""
        expected = self.period.expected
        if expected is None or self.period.length != 1 or len(self._members[expected]) != 1 or self.bursts:
            return None
        return next(iter(self._members[expected]))

    @property
    def is_long(self) -> bool:
        """Whether a step holds several closures (L-BFGS): of such steps there are few, and the first are warm."""
        return self.optimizer_steps > 0 and self.closures >= SEVERAL * self.optimizer_steps

    @property
    def composition(self) -> dict[int, int]:
        """How often each optimizer steps in a training step; empty while that is not known."""
        found: dict[int, int] = {}
        for token in self.period.last:
            for key in self._members[token]:
                found[key] = found.get(key, 0) + 1
        return found

    @property
    def completed(self) -> int:
        """Steps complete so far, in the present belief."""
        if self.source == "optimizer":
            return self.period.iterations
        return max(0, self._boundaries - 1)

    def total(self) -> int:
        """Steps of the whole run; to be asked at its end. An optimizer group that nothing followed counts."""
        if self.source == "optimizer":
            self._close_group()
            return self.period.finish()
        return self._counted()

    def finish(self) -> bool:
        """Whether the end of the script is also the end of a complete step."""
        self._close_group()
        return self._open and self.source != "none"

    def _counted(self) -> int:
        """The root forwards that count: those of modules without state (losses) only if there are no others."""
        return self._stateful or self._forwards

    # --- events ----------------------------------------------------------------------------------

    def fetch(self) -> bool:
        """Note that a DataLoader is asked for its next batch."""
        self.fetches += 1
        if not self.blind:
            self._close_group()
        return self._begin(fetched=1)

    def forward(self, *, grad: bool, stateful: bool = True) -> bool:
        """Note that a module is called that no other module calls. ``stateful``: it has parameters or children."""
        self.root_forwards += 1
        self.evaluation_forwards += not grad
        if self._inside:  # a closure: part of the optimizer step
            self.closures += 1
            self._seen = True
            return False
        if not (self.optimizer_steps or self.scaler_updates):
            return self._forward_alone(grad=grad, stateful=stateful)
        self._close_group()
        boundary = self._begin()
        self._gradient_free += not grad
        return boundary

    def optimizer_start(self, key: int) -> bool:
        """Note that the optimizer ``key`` begins to step."""
        self._inside = True
        if self.blind:
            return False
        if key in self._group:  # it steps again and no forward came between
            self._close_group()
        return self._open and not self._forwards and self._begin_unseen()

    def optimizer_end(self, key: int, *, in_backward: bool = False) -> bool:
        """Note that the optimizer ``key`` has stepped, or that a GradScaler made it skip its step."""
        self._inside = False
        if self._forwards and self.source == "forward":
            self._was_training_after_all()
        self.optimizer_steps += 1
        self._since_update += 1
        self.bursts |= in_backward
        self._group.append(BACKWARD if in_backward else key)
        return (self.blind or self._at_end) and not in_backward and self._end_now()

    def optimizer_failed(self) -> None:
        """Note that an optimizer step was left by an exception."""
        self._inside = False

    def scaler_update(self) -> bool:
        """Note ``GradScaler.update``: it closes an iteration even if every optimizer skipped its step unseen."""
        if self.source == "forward" and self._forwards:
            self._was_training_after_all()
        self.scaler_updates += 1
        skipped, self._since_update = self._since_update == 0, 0
        if not skipped:
            return False
        self._group.extend(self._usual_optimizers())
        return (self.blind or self._at_end) and self._end_now()

    def advance(self, steps: int) -> None:
        """Note ``steps`` steps of ``sole_optimizer`` that were only counted."""
        self.optimizer_steps += steps
        self._since_update += steps
        self.period.repeat(steps)
        fetched = self._fetched
        self._begin_unseen()
        self.fetched, self._fetched, self._gradient_free = fetched, 0, 0

    def unblind(self) -> bool:
        """Report forwards again. True: the boundary is here and now; False: the next fetch or forward is it."""
        self.blind = False
        if self._at_end:
            return True
        self._open = True
        return False

    # --- inside ----------------------------------------------------------------------------------

    def _forward_alone(self, *, grad: bool, stateful: bool) -> bool:
        """Take a root forward while no optimizer has ever stepped."""
        self._forwards += 1
        self._stateful += stateful
        self._graded += grad
        if not stateful and self._stateful:
            return False
        if self._counted() == INFERENCE_AFTER:
            self.generation += 1
        boundary = self._begin()
        self._gradient_free += not grad
        self._open = True  # the next fetch or forward begins the next step
        return boundary

    def _was_training_after_all(self) -> None:
        self.generation += self._counted() >= INFERENCE_AFTER
        self._forwards = self._stateful = self._boundaries = 0
        self._open = False

    def _begin(self, fetched: int = 0) -> bool:
        """Begin a step if one is due."""
        self._seen = True
        if not self._open:
            self._fetched += fetched
            return False
        self._open = False
        self._boundaries += 1
        self.gradient_free, self._gradient_free = self._gradient_free, 0
        self.fetched, self._fetched = self._fetched, fetched
        return True

    def _begin_unseen(self) -> bool:
        """Begin a step at an optimizer's start or end, which is neither a forward nor a fetch."""
        seen = self._seen
        self._begin()
        self._seen = seen
        return True

    def _close_group(self) -> None:
        """End the group of optimizer steps that came since the last forward, if there is one."""
        if not self._group:
            return
        token = self._token(frozenset(self._group))
        self._group.clear()
        if not self.period.add(token):
            self.generation += 1
        if self.period.complete:
            self._open = True
            self._judge_sight()

    def _judge_sight(self) -> None:
        """Change the kind of boundary when several iterations in a row ask for it."""
        if not self.blind:
            self._streak = self._streak + 1 if self._seen == self._at_end else 0
        self._seen = False
        if self._streak >= STREAK:
            self._at_end, self._streak = not self._at_end, 0
            self.generation += 1

    def _token(self, members: frozenset[int]) -> int:
        if members not in self._tokens:
            self._tokens[members] = len(self._members)
            self._members.append(members)
        return self._tokens[members]

    def _usual_optimizers(self) -> frozenset[int]:
        """The optimizers to assume where all skipped unseen: the expected ones."""
        expected = self.period.expected
        if expected is None:
            expected = 0 if self._members else None
        return frozenset([BACKWARD]) if expected is None else self._members[expected]

    def _end_now(self) -> bool:
        """Decide at the end of an optimizer step, without forwards to tell groups apart, whether it ended a step."""
        expected = self.period.expected
        if expected is None:
            self.blind = False
            return False
        members, group = self._members[expected], frozenset(self._group)
        if self.period.length == 1 and len(members) == len(group) == 1:
            members = group  # one optimizer may be replaced by another
        if group != members:
            self.blind &= group < members
            return False
        self._close_group()
        return self._open and self._begin_unseen()
