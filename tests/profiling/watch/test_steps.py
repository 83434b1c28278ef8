"""The step state machine, fed by hand: every row of the table of steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallscope.profiling.watch.period import Period
from stallscope.profiling.watch.steps import StepTracker

A, B, C = 101, 102, 103


def drive(tracker, script):  # noqa: C901 - a table
    """Feed ``script``, a string of events, and return the positions at which boundaries were reported.

    f forward, e gradient-free forward, d fetch, A/B/C optimizer steps, s skipped step of A seen by its scaler,
    u scaler update, ( and ) start and end of an optimizer step A that runs a closure.
    """
    boundaries = []
    for position, event in enumerate(script.replace(" ", "")):
        match event:
            case "f":
                here = tracker.forward(grad=True)
            case "e":
                here = tracker.forward(grad=False)
            case "d":
                here = tracker.fetch()
            case "A" | "B" | "C":
                here = tracker.optimizer_start(ord(event)) | tracker.optimizer_end(ord(event))
            case "s":
                here = tracker.optimizer_end(ord("A"))
            case "u":
                here = tracker.scaler_update()
            case "(":
                here = tracker.optimizer_start(ord("A"))
            case ")":
                here = tracker.optimizer_end(ord("A"))
        if here:
            boundaries.append(position)
    return boundaries


@pytest.mark.parametrize(
    ("iteration", "times", "steps", "period"),
    [
        pytest.param("fA", 30, 30, 1, id="plain"),
        pytest.param("ffA", 30, 30, 1, id="a loss that is a module"),
        pytest.param("dfA", 30, 30, 1, id="DataLoader"),
        pytest.param("ffffA", 12, 12, 1, id="gradient accumulation"),
        pytest.param("dfdfdfdfA", 12, 12, 1, id="gradient accumulation with fetches"),
        pytest.param("f" * 32 + "A", 6, 6, 1, id="accumulation over more than 20 forwards"),
        pytest.param("fffAffB", 15, 15, 2, id="GAN"),
        pytest.param("fAB", 15, 15, 1, id="two optimizers stepped together"),
        pytest.param("fAfAfAfAfAfB", 7, 7, 6, id="five critic steps for one generator step"),
        pytest.param("fAfAfBfB", 9, 9, 4, id="two steps each in turn"),
        pytest.param("fAu", 20, 20, 1, id="GradScaler"),
        pytest.param("(ffffff)", 14, 14, 1, id="LBFGS"),
        pytest.param("(fff)e", 14, 14, 1, id="LBFGS with a forward for the loss"),
        pytest.param("A", 25, 25, 1, id="no module at all"),
        pytest.param("fAfBfC", 8, 8, 3, id="three optimizers in turn, the last one skipped"),
    ],
)
def test_iterations_are_counted(iteration, times, steps, period):
    """N iterations of a training loop are N steps, whatever one iteration consists of."""
    tracker = StepTracker()
    drive(tracker, iteration * times)
    assert tracker.total() == steps
    assert tracker.source == "optimizer"
    assert tracker.period.length == period


@pytest.mark.parametrize("times", [1, 2, 3, 5])
def test_short_trainings_are_counted(times):
    """Even the shortest training of each kind has the right number of steps."""
    for iteration in ("fA", "ffffA", "fAfB", "fAB", "fAu", "(ff)", "A"):
        tracker = StepTracker()
        drive(tracker, iteration * times)
        assert tracker.total() == times, iteration


def test_boundaries_lie_before_the_first_event_of_an_iteration():
    """A boundary is the first fetch or forward after the optimizer, never the second one."""
    assert drive(StepTracker(), "dfA dfA dfA d") == [0, 3, 6, 9]
    assert drive(StepTracker(), "fA ffA ffA ff") == [0, 2, 5, 8]
    assert drive(StepTracker(), "dfA dfdfA dfdfA d") == [0, 3, 8, 13]


def test_boundaries_of_a_gan_once_its_period_is_known():
    """Only the discriminator's forward begins a step, after the period of two has been seen twice."""
    tracker = StepTracker()
    drive(tracker, "fAfB" * 4)
    assert tracker.settled
    assert drive(tracker, "fAfB" * 3 + "f") == [0, 4, 8, 12]
    assert tracker.completed == 7


def test_skipped_optimizer_steps_count():
    """20 iterations of which the scaler skips 2 are 20 steps, whether the skip was seen by GradScaler.step or not."""
    seen, unseen = StepTracker(), StepTracker()
    drive(seen, "fsu" + "fAu" * 9 + "fsu" + "fAu" * 9)
    drive(unseen, "fu" + "fAu" * 9 + "fu" + "fAu" * 9)
    assert seen.total() == 20
    assert unseen.total() == 20
    assert unseen.scaler_updates == 20


def test_lbfgs_steps_begin_where_the_optimizer_begins():
    """Forwards inside the closure never are boundaries; the start of the optimizer step is."""
    assert drive(StepTracker(), "(ff)(ff)(ff)(ff)(ff)") == [0, 4, 8, 12, 16]


def test_without_forwards_steps_end_with_the_optimizer():
    """Where no forward is ever seen the boundary moves to the end of the optimizer step, and the belief changes."""
    tracker = StepTracker()
    drive(tracker, "A" * 6)
    before = tracker.generation
    assert drive(tracker, "AAAA") == [0, 1, 2, 3]
    assert tracker.generation == before
    assert tracker.total() == 10


def test_an_evaluation_does_not_disturb_steps_without_forwards():
    """A gradient-free pass now and then leaves boundaries at the optimizer's end."""
    tracker = StepTracker()
    drive(tracker, "A" * 10)
    before = tracker.generation
    assert drive(tracker, "AA ee AA") == [0, 1, 4, 5]
    assert tracker.generation == before


@pytest.mark.parametrize("forwards", [1, 19, 20, 21, 60])
def test_inference_counts_root_forwards(forwards):
    """N root forwards without any optimizer are N steps."""
    tracker = StepTracker()
    drive(tracker, "e" * forwards)
    assert tracker.total() == forwards
    assert tracker.source == "forward"
    assert tracker.settled == (forwards >= 20)
    assert not tracker.used_gradients


def test_inference_with_a_loader():
    """With a DataLoader the fetch begins the step; the fetch that finds the loader empty ends the last one."""
    tracker = StepTracker()
    assert drive(tracker, "de" * 3 + "d") == [0, 2, 4, 6]
    assert tracker.total() == 3
    assert tracker.completed == 3


def test_a_loss_module_is_no_step_of_its_own():
    """Manual SGD with a model and a loss module: one step per iteration, and gradients were used."""
    tracker = StepTracker()
    for _ in range(30):
        tracker.forward(grad=True)
        tracker.forward(grad=True, stateful=False)
    assert tracker.total() == 30
    assert tracker.used_gradients


def test_modules_without_state_count_where_there_are_no_others():
    """A model without a single parameter still has steps."""
    tracker = StepTracker()
    for _ in range(30):
        tracker.forward(grad=False, stateful=False)
    assert tracker.total() == 30


def test_what_looked_like_inference_was_a_check_before_training():
    """50 evaluation batches first, then training: the training iterations count, and earlier windows are void."""
    tracker = StepTracker()
    drive(tracker, "e" * 50)
    before = tracker.generation
    drive(tracker, "fA" * 10)
    assert tracker.total() == 10
    assert tracker.generation > before


def test_evaluation_passes_are_noted_in_the_step_that_holds_them():
    """After 3 training steps, 4 evaluation forwards belong to the fourth step, and to no other."""
    tracker = StepTracker()
    held = []
    for event in "fA fA fA eeee fA fA f".replace(" ", ""):
        here = drive(tracker, event)
        if here:
            held.append(tracker.gradient_free)
    assert held == [0, 0, 0, 0, 4, 0]
    assert tracker.total() == 5
    assert tracker.evaluation_forwards == 4


def test_optimizers_in_the_backward_pass_are_one_burst():
    """Four optimizers that step inside one backward pass close one iteration."""
    tracker = StepTracker()
    for _ in range(10):
        tracker.forward(grad=True)
        for key in range(4):
            tracker.optimizer_start(key)
            tracker.optimizer_end(key, in_backward=True)
    assert tracker.total() == 10
    assert tracker.bursts


def test_pretraining_then_gan():
    """10 steps of one optimizer, then 20 iterations of two in turn: 30 steps."""
    tracker = StepTracker()
    drive(tracker, "fA" * 10 + "fAfB" * 20)
    assert tracker.total() == 30


def test_a_new_optimizer_for_every_fold():
    """Ten folds of 12 steps, each with its own optimizer: 120 steps, and the belief never changes after the start."""
    tracker = StepTracker()
    drive(tracker, "fA" * 12)
    before = tracker.generation
    for fold in range(9):
        for _ in range(12):
            tracker.forward(grad=True)
            tracker.optimizer_start(1000 + fold)
            tracker.optimizer_end(1000 + fold)
    assert tracker.total() == 120
    assert tracker.generation == before


def test_blind_counting_goes_on():
    """With forwards hidden each iteration's last optimizer ends it; seeing again waits for the next forward."""
    tracker = StepTracker()
    drive(tracker, "fAfB" * 5 + "f")
    tracker.blind = True
    assert drive(tracker, "AB AB AB") == [1, 3, 5]
    assert tracker.unblind() is False
    assert drive(tracker, "f A f B f") == [0, 4]
    assert tracker.total() == 9


def test_blind_counting_gives_up_on_the_unknown():
    """An optimizer never seen before ends blindness, since groups cannot be told apart without forwards."""
    tracker = StepTracker()
    drive(tracker, "fAfB" * 5 + "f")
    tracker.blind = True
    drive(tracker, "AC")
    assert not tracker.blind


def test_blind_scaler_skips_count():
    """A skipped step counts in blindness too."""
    tracker = StepTracker()
    drive(tracker, "fAu" * 5 + "f")
    tracker.blind = True
    drive(tracker, "Au su u Au")
    assert tracker.total() == 9


def test_the_end_of_the_script_may_end_a_step():
    """A step that its optimizer has closed is complete; one in its middle is not."""
    complete, cut = StepTracker(), StepTracker()
    drive(complete, "fA" * 6)
    drive(cut, "fA" * 6 + "f")
    assert complete.finish()
    assert not cut.finish()
    assert complete.total() == cut.total() == 6


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(3, 40))
def test_any_repeating_sequence_is_counted(pattern, times):
    """A sequence of optimizers that repeats N times is N iterations of its shortest repeating part."""
    shortest = next(
        length
        for length in range(1, len(pattern) + 1)
        if len(pattern) % length == 0 and pattern[:length] * (len(pattern) // length) == pattern
    )
    period = Period()
    for token in pattern * times:
        period.add(token)
    assert period.finish() == times * len(pattern) // shortest


def test_long_runs_are_counted_in_bounded_memory():
    """100 000 iterations of period 3 are counted exactly while a few thousand tokens are kept."""
    period = Period()
    for _ in range(100_000):
        for token in (0, 1, 2):
            period.add(token)
    assert period.finish() == 100_000
    assert len(period._tokens) <= 2048


def test_fetches_between_steps_that_were_only_counted():
    """A validation of 4 batches between counted steps belongs to the step it follows; its neighbours have one each."""
    tracker = StepTracker()
    drive(tracker, "dfA" * 4 + "d")
    tracker.blind = True
    held = []
    for fetches_after in (5, 1, 1):
        tracker.advance(1)
        held.append(tracker.fetched)
        drive(tracker, "d" * fetches_after)
    assert held == [1, 5, 1]
