"""Which queries a model is judged on."""

from dataclasses import replace

from tests.judging.conftest import SPEC, a_model
from tests.worlds import small_config
from unified.judging.questions import action_queries, film_queries, judged_queries, learned_queries
from unified.model.queries import QUERIES, Query
from unified.model.stored.history import History

EVERY = {"policy", "world_model", "inverse_dynamics", "inverse_by_sight", "video", "joint"}


def test_a_model_of_which_nobody_says_what_it_learned_is_asked_everything():
    model = a_model()
    assert set(learned_queries(model)) == set(judged_queries(model)) == EVERY
    assert set(film_queries(model)) == {"world_model", "video", "joint"}
    assert set(action_queries(model)) == {"policy", "inverse_dynamics", "inverse_by_sight", "joint"}


def test_what_was_not_learned_is_not_asked_but_inverse_dynamics_by_sight_alone():
    model = a_model(SPEC, "policy", "inverse_dynamics")
    assert set(judged_queries(model)) == EVERY
    assert set(learned_queries(model)) == {"policy", "inverse_dynamics"}
    assert film_queries(model) == {}
    assert set(action_queries(model)) == {"policy", "inverse_dynamics", "inverse_by_sight"}
    assert set(action_queries(a_model(SPEC, "policy"))) == {"policy"}


def test_a_query_of_ones_own_is_judged_as_it_was_learned():
    own = {
        "policy": Query("policy", wanted=("plan",), history=2),
        "by_eye": replace(QUERIES["inverse_by_sight"], name="by_eye"),
        "measure": Query("measure", given=("video",), wanted=("proprio",)),
        "film_of_the_present": Query("film_of_the_present", given=("action",), wanted=("next",), history=0),
    }
    model = a_model()
    model.history = History(own)
    assert action_queries(model)["policy"].history == 2
    assert set(action_queries(model)) == {"policy", "by_eye"}
    assert set(film_queries(model)) == {"film_of_the_present"}
    assert "inverse_by_sight" not in judged_queries(model), "it was learned under another name"
    assert "measure" in learned_queries(model)


def test_a_model_is_not_asked_for_streams_that_it_lacks():
    decoders = {"plan": small_config().decoders["plan"]}
    model = a_model(config=small_config(decoders=decoders))
    assert set(judged_queries(model)) == set(action_queries(model)) == {"policy"}
