"""What the demos say is decided by the figures: other figures, other words; too few runs, no word at all."""

import pytest

from stallscope.demo import data_parallel, dataloader, minibatch_sgd, page
from stallscope.demo.judging import Sample, Word, judge, least_squares, signed
from stallscope.demo.running import in_turn
from stallscope.demo.story import Story, Table, Variant
from tests.demo_results import result, variant


@pytest.mark.parametrize(
    ("after", "word"),
    [
        ((90.0, 180.0, 45.0), Word.LESS),  # a tenth less in each round, though the rounds differ widely
        ((110.0, 221.0, 54.9), Word.MORE),
        ((90.0, 220.0, 51.0), Word.UNKNOWN),  # less in one round, more in others
    ],
)
def test_rounds_are_compared_one_by_one(after: tuple[float, ...], word: Word) -> None:
    """Before: 100, 200, 50 in three rounds of a machine that is now busy, now not."""
    assert judge(Sample((100.0, 200.0, 50.0)), Sample(after)).word is word


def test_the_interval_is_student_s() -> None:
    """Logs -0.1, -0.2, -0.3: mean -0.2, standard error 0.1/√3, t at 2 degrees 4.3027: exp(-0.2 ± 0.2484)."""
    before = Sample((1.0, 1.0, 1.0))
    found = judge(before, Sample((0.904837418, 0.818730753, 0.740818221)))
    assert found.change == pytest.approx(-0.18127, abs=1e-5)
    assert found.interval == pytest.approx((-0.36137, 0.04960), abs=1e-4)
    assert found.shown == "-18.1 % (-36.1 … +5.0)"


def test_one_run_decides_nothing() -> None:
    """Half the time in a single run is a change, and no word."""
    found = judge(Sample((100.0,)), Sample((50.0,)))
    assert (found.word, found.shown) == (Word.UNKNOWN, "-50.0 % (one run)")


def test_what_was_not_measured_has_no_change() -> None:
    """An empty side, and a time of zero, which has no logarithm."""
    assert judge(Sample(()), Sample((1.0,))).shown == "-"
    assert judge(Sample((0.0, 1.0)), Sample((1.0, 1.0))).shown == "-"


def test_large_changes_are_short() -> None:
    """Three digits, and an end."""
    assert [signed(share) for share in (-0.08, 1.25, 250.0)] == ["-8.0", "+125", ">+9999"]


def test_a_line_through_points() -> None:
    """Points on 100 + 2 x."""
    assert least_squares([(1, 102.0), (10, 120.0), (100, 300.0)]) == pytest.approx((100.0, 2.0))


def test_no_variant_is_always_first() -> None:
    """Three variants, three rounds: each is first once, and each round holds all."""
    a, b, c = (Variant(key, key, ()) for key in "abc")
    plan = in_turn([a, b, c], 3)
    assert "".join(each.key for each, _ in plan) == "abcbcacab"
    assert [number for _, number in plan] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize(
    ("two", "words"),
    [
        ((190.0, 200.0, 195.0), "2 against 0 workers: faster"),
        ((50.0, 52.0, 51.0), "2 against 0 workers: slower"),
        ((90.0, 115.0, 101.0), "2 against 0 workers: not to be told apart in speed"),
    ],
)
def test_workers_help_or_not(two: tuple[float, ...], words: str) -> None:
    """The sentence follows the speed: 100 samples/s without workers."""
    none = variant("cpu-workers-0", samples_per_s=(100.0, 102.0, 101.0))
    (sentence,) = dataloader.sentences(result(none, variant("cpu-workers-2", samples_per_s=two)))
    assert words in sentence


@pytest.mark.parametrize(
    ("together", "words"), [((190.0, 192.0, 191.0), "do more together"), ((60.0, 61.0, 62.0), "do less together")]
)
def test_sharing_a_device_helps_or_not(together: tuple[float, ...], words: str) -> None:
    """Two trainings at once against one with 100 rows/s."""
    alone = variant("cpu-many-1", rows_per_s=(100.0, 101.0, 102.0), us_per_step=(10.0, 10.1, 10.2))
    both = variant("cpu-many-2", rows_per_s=together, us_per_step=(12.0, 12.1, 12.2))
    (sentence,) = data_parallel.sharing(result(alone, both), "cpu")
    assert words in sentence
    assert "each step is longer" in sentence


def test_the_constant_part_of_a_step() -> None:
    """Steps of 101 µs with 1 row and 200 µs with 100: 100 µs and 1000 ns a row; 99 % of the smaller step."""
    small = variant("cpu-batch-1", batch=(1.0,), us_per_step=(101.0,))
    large = variant("cpu-batch-100", batch=(100.0,), us_per_step=(200.0,))
    (sentence,) = minibatch_sgd.overhead(result(small, large), "cpu")
    assert "100 µs that do not depend on the batch and 1,000 ns a row" in sentence
    assert "the constant is 99 %" in sentence
    (flat,) = minibatch_sgd.overhead(result(small, variant("cpu-b", batch=(100.0,), us_per_step=(90.0,))), "cpu")
    assert "did not take longer" in flat


def test_the_page_names_what_was_not_measured() -> None:
    """Variants that need a GPU are listed in text and page; wide tables become lines on a narrow terminal."""
    story = Story((Table("Times", ("variant", "a step", "x" * 90), [("one", "1 µs", "")]),), (), ("A sentence.",))
    found = result(not_measured=("GPU, one",))
    shown = page.as_text(story, found, page.Style())
    assert "Not measured here (no GPU): GPU, one." in shown
    assert "one\n  a step" in shown
    assert shown.endswith("A sentence.")
    assert max(map(len, shown.splitlines())) <= 100
