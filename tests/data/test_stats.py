import numpy as np

from unified.data.stats import STD_FLOOR, column_stats, embodiment_stats


def test_statistics_of_two_parts_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    whole = rng.normal(1e3, 2.0, (500, 3)).astype(np.float32)
    stats = column_stats([(whole[:70], np.arange(70)), (whole[70:], np.arange(430))])
    exact = whole.astype(np.float64)
    np.testing.assert_allclose(stats["mean"], exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(stats["std"], exact.std(0), rtol=1e-9)
    np.testing.assert_array_equal(stats["min"], exact.min(0))
    np.testing.assert_array_equal(stats["max"], exact.max(0))
    np.testing.assert_allclose([stats["q01"], stats["q99"]], np.quantile(exact, [0.01, 0.99], axis=0))


def test_only_the_picked_rows_count():
    rows = np.arange(10, dtype=np.float32)[:, None]
    assert column_stats([(rows, np.array([2, 4]))])["mean"] == [3.0]


def test_a_dimension_that_never_moves_has_the_floor_as_its_std():
    assert column_stats([(np.full((5, 1), 7, np.float32), np.arange(5))])["std"] == [STD_FLOOR]


def test_sources_of_one_body_are_taken_together_and_others_apart():
    one, two = np.zeros((2, 1), np.float32), np.ones((6, 1), np.float32)
    sources = [("arm", one, one, np.arange(2)), ("car", two, two, np.arange(6)), ("arm", two, two, np.arange(6))]
    stats = embodiment_stats(sources)
    assert stats["arm"]["action"]["mean"] == [0.75]
    assert stats["car"]["observation.state"]["mean"] == [1.0]
