"""Federated algorithms in local training: a whole cohort, one device after the other, and the papers' pseudo-code give the same numbers."""

import dataclasses

import numpy as np
import pytest
import torch

from everbloom.learning.candidates import build_candidates
from everbloom.learning.local import Draws, LocalTrainer
from everbloom.learning.steering import kept_size
from everbloom.methods import ALGORITHMS

SIZES = (4, 0, 1, 9, 2, 0)
TABLES = {"fedrep": {"name": "fedrep", "head_steps": 2}}
"""Of algorithms whose defaults do not go with three local steps of which something can be told."""
ONE_MODEL = [name for name in ALGORITHMS.names() if ALGORITHMS.parse(name).copies == 1]
"""Where there are several, one is chosen before it is trained: test_cohort_clusters.py."""
CASES = [(name, steps) for name in (None, *ONE_MODEL) for steps in (1, 3) if (name, steps) != ("fedrep", 1)]
"""Head and body take more than one step."""
WITH_LAYERS = [case for case in CASES if case[0] is None or ALGORITHMS.parse(case[0]).own_pull is None]
"""Not where a device has a whole model of its own anyway: refused."""
STEERED = [name for name in ALGORITHMS.names() if ALGORITHMS.method_class(name).steers]


@pytest.fixture
def algorithm_case(case_of):
    """(algorithm, variant, steps, ...) -> (a case whose clients remember something, what the server sends)."""

    def build(algorithm, variant="both", steps=3, sizes=SIZES, layers=(), own=False, **options):
        table = TABLES.get(algorithm, algorithm) if isinstance(algorithm, str) else algorithm
        case = case_of(variant, sizes, local_steps=steps, algorithm=table, personal_rate=0.03, **options)
        user = {**case.config.user.model_dump(), "personal": own}
        layers = {"personal_layers": layers, "user": user}
        case = dataclasses.replace(case, config=case.config.model_validate({**case.config.model_dump(), **layers}))
        drawn = torch.Generator().manual_seed(3)
        kept = torch.randn((len(sizes), kept_size(case.layout, case.learning)), generator=drawn) * 0.1
        sent = None
        if case.learning.algorithm is not None and case.learning.algorithm.sends:
            sent = torch.randn(case.layout.size(), generator=drawn).numpy() * np.float32(0.1)
        return dataclasses.replace(case, cohort=dataclasses.replace(case.cohort, kept=kept)), sent

    return build


def devices(case, sent):
    """(deltas [clients, params], what is kept after it [clients, kept]) of each client on its own device."""
    trainer = LocalTrainer(case.model(), case.layout, case.learning, case.plan)
    kept, deltas = case.cohort.kept.numpy().copy(), []
    for client, key in enumerate(case.cohort.dropout):
        negatives = case.cohort.negatives[client : client + 1]
        draws = Draws(key, None, None)
        deltas.append(trainer.update(case.start, case.examples(client), negatives, draws, kept[client], sent))
    return np.array(deltas), kept


@pytest.mark.parametrize(("name", "steps"), CASES)
@pytest.mark.parametrize("variant", ["both", "mlp", "content", "flat", "hybrid", "fixed-items"])
def test_together_and_apart_are_each_clients_own_device(algorithm_case, agree, name, variant, steps):
    """In batches of one unit and of all; those without examples too."""
    case, sent = algorithm_case(name, variant, steps, dropout=0.2, proximal_mu=0.1)
    deltas, kept = devices(case, sent)
    for batch in (None, 1):
        engine = case.engine(batch)
        each, total = (getattr(engine, way)(case.start, case.cohort, sent=sent) for way in ("each", "total"))
        for found, expected in zip(each.deltas, deltas, strict=True):
            agree(found, expected)
        agree(total.deltas[0], deltas.sum(axis=0))
        agree(each.kept, kept)
        agree(total.kept, kept)


@pytest.mark.parametrize(("name", "steps"), WITH_LAYERS)
@pytest.mark.parametrize("layers", [("user.",), ("score.", "user.blocks.0.")])
@pytest.mark.parametrize("own", [False, True])
def test_with_layers_of_their_own_too(algorithm_case, agree, name, layers, steps, own):
    """FedPer, and every algorithm on top of it; an offset of user vectors beside the layers."""
    case, sent = algorithm_case(name, "mlp", steps, layers=layers, own=own, dropout=0.2)
    deltas, kept = devices(case, sent)
    width = case.layout.size("personal")
    moved = np.abs(kept[:, :width] - case.cohort.kept[:, :width].numpy()).max(axis=1)
    assert ((moved > 1e-5) == (np.array(SIZES) > 0)).all()
    assert deltas.shape[1] == case.layout.size() < sum(p.numel() for p in case.model().parameters())
    for batch in (None, 1):
        engine = case.engine(batch)
        each, total = (getattr(engine, way)(case.start, case.cohort, sent=sent) for way in ("each", "total"))
        for found, expected in zip(each.deltas, deltas, strict=True):
            agree(found, expected)
        agree(total.deltas[0], deltas.sum(axis=0))
        np.testing.assert_allclose(each.kept, kept, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(total.kept, kept, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", [None, "fedrep"])
def test_fedper_and_fedrep_are_their_papers(algorithm_case, agree, name):
    """Both at once in every step; or two steps of the head on the body as it came, then one of the body on that head."""
    case, _ = algorithm_case(name, "mlp", layers=("user.",))
    found = case.engine().each(case.start, case.cohort)
    eta, own_eta, start = case.learning.learning_rate, case.learning.personal_rate, torch.from_numpy(case.start)
    first = torch.from_numpy(case.layout.flat(case.model(), "personal"))
    for client in range(len(SIZES)):
        body, head = start.clone(), first + case.cohort.kept[client]
        for step in range(3):
            gradient, own = gradient_at(case, client, body, head), gradient_at(case, client, body, head, "personal")
            if name is None or step >= 2:
                body = body - eta * gradient
            if name is None or step < 2:
                head = head - own_eta * own
        agree(found.deltas[client], body - start)
        np.testing.assert_allclose(found.kept[client], head - first, rtol=1e-3, atol=1e-5)


def gradient_at(case, client, parameters, personal=None, group="shared"):
    """[params] of a group's gradient of the mean loss of a client, by automatic differentiation of the recommender as it is."""
    model, examples = case.model(), case.examples(client)
    case.layout.bind(model).copy_(parameters)
    if personal is not None:
        case.layout.bind(model, "personal").copy_(personal)
    if not len(examples):
        return torch.zeros(case.layout.size(group))
    negatives = case.cohort.negatives[client : client + 1]
    scores = model(examples.items, examples.circumstances, negatives, examples.place)
    case.learning.objective.per_example(
        scores, build_candidates(examples, negatives, model.item.items)
    ).mean().backward()
    named = dict(model.named_parameters())
    return torch.cat([named[name].grad.reshape(-1) for name in case.layout.names(group)])


def test_scaffold_is_its_paper(algorithm_case, agree):
    """Algorithm 1 with option II: y <- y - eta (g - c_i + c); c_i+ <- c_i - c + (x - y) / (K eta)."""
    case, c = algorithm_case("scaffold", "embedding", steps=4)
    eta, x, c = case.learning.learning_rate, torch.from_numpy(case.start), torch.from_numpy(c)
    found = case.engine().each(case.start, case.cohort, sent=c.numpy())
    for client in range(len(SIZES)):
        own, y = case.cohort.kept[client], x.clone()
        for _ in range(4):
            y = y - eta * (gradient_at(case, client, y) - own + c)
        agree(found.deltas[client], y - x)
        np.testing.assert_allclose(found.kept[client], own - c + (x - y) / (4 * eta), rtol=1e-3, atol=1e-5)


def test_feddyn_is_its_paper(algorithm_case, agree):
    """Algorithm 1: theta_k goes down L_k(theta) - <g_k, theta> + alpha/2 |theta - theta^{t-1}|^2; g_k <- g_k - alpha (theta_k - theta^{t-1})."""
    case, _ = algorithm_case({"name": "feddyn", "alpha": 0.3}, "embedding", steps=4)
    eta, start = case.learning.learning_rate, torch.from_numpy(case.start)
    found = case.engine().each(case.start, case.cohort)
    for client in range(len(SIZES)):
        g, theta = case.cohort.kept[client], start.clone()
        for _ in range(4):
            theta = theta - eta * (gradient_at(case, client, theta) - g + 0.3 * (theta - start))
        agree(found.deltas[client], theta - start)
        agree(found.kept[client], g - 0.3 * (theta - start))


@pytest.mark.parametrize("variant", ["embedding", "mlp"])
def test_ditto_is_its_paper(algorithm_case, agree, variant):
    """Algorithm 1: v_k <- v_k - eta (gradient of F_k(v_k) + lambda (v_k - w)), from where v_k was; w itself where it has not been anywhere."""
    case, _ = algorithm_case({"name": "ditto", "pull": 0.7}, variant, steps=4)
    case.cohort.kept[2] = case.cohort.kept[5] = 0.0
    found, eta, start = (
        case.engine().each(case.start, case.cohort),
        case.learning.personal_rate,
        torch.from_numpy(case.start),
    )
    for client in range(len(SIZES)):
        v = start.clone() if client in (2, 5) else case.cohort.kept[client].clone()
        for _ in range(4):
            v = v - eta * (gradient_at(case, client, v) + 0.7 * (v - start))
        agree(found.kept[client], v)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("user_level", [False, True])
def test_dittos_shared_update_is_fedavgs_to_the_bit(algorithm_case, small, study_of, steps, user_level):
    ditto, plain = (algorithm_case(name, "both", steps, dropout=0.2, proximal_mu=0.1)[0] for name in ("ditto", None))
    plan = None
    if user_level:
        privacy = {"unit": "user", "epsilon": 4.0, "delta": 1e-4, "clip_norm": 1e-2}
        plan = study_of(small(privacy=privacy, federation={"sampler": "poisson"})).plan
    engines = [dataclasses.replace(case, plan=plan).engine() for case in (ditto, plain)]
    for way in ("total", "each"):
        found, expected = (
            getattr(engine, way)(case.start, case.cohort) for engine, case in zip(engines, (ditto, plain), strict=True)
        )
        assert found.deltas.tobytes() == expected.deltas.tobytes()
    ones, others = devices(ditto, None), devices(plain, None)
    assert ones[0].tobytes() == others[0].tobytes()


def test_whose_own_model_is_no_number_keeps_what_it_had_and_sends_nothing(algorithm_case):
    case, _ = algorithm_case({"name": "ditto", "pull": 0.0}, "embedding", 2, (4, 3, 0, 5))
    case.cohort.kept[1] = 1e30
    before = case.cohort.kept.clone()
    for way in ("total", "each"):
        update = getattr(case.engine(), way)(case.start, case.cohort)
        assert update.trained.tolist() == [True, False, True, True]
        assert np.array_equal(update.kept[1], before[1])
        assert np.isfinite(update.deltas).all()
        assert (np.abs(update.kept[[0, 3]] - before[[0, 3]].numpy()).max(axis=1) > 0).all()


@pytest.mark.parametrize("name", STEERED)
def test_whose_update_is_no_number_keeps_what_it_had(algorithm_case, name):
    case, sent = algorithm_case(name, "embedding", 2, (4, 3, 0, 5, 2), rare=[1, 4], swell=1e30)
    before = case.cohort.kept.clone()
    for way in ("total", "each"):
        update = getattr(case.engine(), way)(case.start, case.cohort, sent=sent)
        assert update.trained.tolist() == [True, False, True, True, False]
        assert np.isfinite(update.kept).all()
        assert np.isfinite(update.deltas).all()
        assert np.array_equal(update.kept[[1, 4]], before[[1, 4]])
        assert (np.abs(update.kept[[0, 2, 3]] - before[[0, 2, 3]].numpy()).max(axis=1) > 0).all()


@pytest.mark.parametrize("name", STEERED)
def test_a_user_level_plan_clips_all_that_is_sent(algorithm_case, small, study_of, agree, name):
    """Idle devices too, whose updates are their memory alone; what is remembered is not clipped. The count of who was within the bound agrees."""
    privacy = {"unit": "user", "epsilon": 4.0, "delta": 1e-4, "clip_norm": 1e-2}
    mechanism = {"name": "central", "adaptive_clip": {"noise": 0.5}}
    plan = study_of(small(privacy={**privacy, "mechanism": mechanism}, federation={"sampler": "poisson"})).plan
    case, sent = algorithm_case(name)
    clipped = dataclasses.replace(case, plan=plan)
    free = case.engine().each(case.start, case.cohort, sent=sent)
    total, each = (getattr(clipped.engine(), way)(case.start, case.cohort, sent=sent) for way in ("total", "each"))
    norms = np.linalg.norm(each.deltas[:, :-1], axis=1)
    assert norms.max() <= 1e-2
    assert norms.min() > 0.9e-2  # whoever has no examples too
    agree(total.deltas[0], each.deltas.sum(axis=0))
    agree(total.kept, free.kept)
