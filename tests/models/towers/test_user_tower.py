"""A language model reads the history: in words or over item vectors; no position reads what comes after it, and long histories are cut by recency."""

import pytest
import torch
from tower_texts import TEXTS

from everbloom.config import LearningConfig, ModelConfig
from everbloom.errors import ConfigError, DataError
from everbloom.learning.places import check_places
from everbloom.methods import ADAPTERS
from everbloom.models.recommender import build_recommender
from everbloom.models.towers.blocks import whole_model
from everbloom.models.towers.loading import load
from everbloom.models.towers.told import Telling, tell
from everbloom.models.towers.user import reads_ahead
from everbloom.models.user_text import UserText
from everbloom.models.users import Circumstances

CAUSAL = {"config": "gpt2", "options": {"n_embd": 16, "n_layer": 3, "n_head": 2}}
VIEW, BUY = 0, 4
"""Codes of behaviours."""


def config_of(model, history=6, text=None, **tower):
    user = {"history": history, "tower": {"model": model, **tower}, "text": text or {}}
    return ModelConfig.model_validate({"dim": 8, "user": user})


def reader(config):
    told = None
    if config.user.tower.reads == "text":
        told = tell(UserText(config.user.text), TEXTS, config.user.tower)
    return build_recommender(len(TEXTS), None, config, 1, None, told)


def history(items, behaviour=None, length=None):
    item = torch.tensor([items])
    code = torch.tensor([behaviour or [VIEW] * len(items)])
    return Circumstances(code, item=item, length=torch.tensor([len(items) if length is None else length]))


def telling(max_events=50, max_tokens=256, two_way=False, **text):
    config = config_of(CAUSAL, text=text)
    told = tell(UserText(config.user.text), TEXTS, config.user.tower)
    return Telling(told, max_events, max_tokens, two_way)


def in_words(told, row=0):
    return load("minilm", "here").tokenizer.decode(told.ids[row][told.mask[row]])


def test_what_is_told():
    found = telling()(torch.tensor([[0, 3, 3]]), torch.tensor([[VIEW, VIEW, BUY]]), torch.tensor([3]))
    assert in_words(found) == "[CLS] viewed : red lamp, tea ; bought : tea"
    assert found.ends.tolist() == [[0, 4, 6, 9]]
    both = telling(two_way=True)(torch.tensor([[0, 3, 3]]), torch.tensor([[VIEW, VIEW, BUY]]), torch.tensor([2]))
    assert in_words(both) == "[CLS] viewed : red lamp, tea [SEP]"


def test_in_chinese():
    found = telling(language="zh")(torch.tensor([[4]]), torch.tensor([[VIEW]]), torch.tensor([1]))
    assert found.ids[0].tolist()[0] == load("minilm", "here").tokenizer.cls_token_id
    assert "：" in in_words(found) or ":" in in_words(found)


def test_an_item_without_words_has_a_name():
    found = telling()(torch.tensor([[2]]), torch.tensor([[BUY]]), torch.tensor([1]))
    assert in_words(found) == "[CLS] bought : something"


def test_a_history_that_is_too_long_is_cut_by_recency():
    items = torch.tensor([[0, 3, 0, 3, 0]])
    behaviour, length = torch.full_like(items, VIEW), torch.tensor([5])
    for most, words in ((4, "red lamp"), (8, "tea, red lamp"), (1, "red lamp")):
        assert in_words(telling(max_tokens=most)(items, behaviour, length)) == f"[CLS] viewed : {words}"
    assert in_words(telling(max_events=2)(items, behaviour, length)) == "[CLS] viewed : tea, red lamp"
    assert telling(max_tokens=4)(items, behaviour, length).ends.tolist() == [[0, 0, 0, 0, 0, 4]]


def test_a_history_of_100000_events():
    """It costs no more than its last words."""
    items = torch.zeros((1, 100_000), dtype=torch.int64)
    found = telling(max_events=200_000)(items, items, torch.tensor([100_000]))
    assert found.ids.shape[1] <= 257
    model = reader(config_of(CAUSAL, history=2048))
    vectors = torch.zeros((1, 100_000, 8))
    with torch.no_grad():
        one = model.user(vectors, history([0] * 100_000), None, torch.tensor([[100_000]]))
    assert one.shape == (1, 1, 8)
    assert one.isfinite().all()


@pytest.mark.parametrize("reads", ["text", "items"])
@pytest.mark.parametrize("adapter", ADAPTERS.names())
def test_no_position_reads_what_comes_after_it(perturb, reads, adapter):
    model = reader(config_of(CAUSAL, reads=reads, adapter=adapter)).eval()
    perturb(model)
    drawn = torch.Generator().manual_seed(0)
    vectors = torch.randn((1, 5, 8), generator=drawn)
    other = vectors.clone()
    other[:, 3:] = 1
    with torch.no_grad():
        whole = model.user(vectors, history([0, 1, 3, 4, 7]))
        changed = model.user(other, history([0, 1, 3, 5, 0]))
        for place in range(6):
            alone = model.user(vectors[:, :place], history([0, 1, 3, 4, 7][:place]), None, torch.tensor([[place]]))
            torch.testing.assert_close(alone[:, 0], whole[:, place], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(changed[:, :4], whole[:, :4], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(changed[:, 4:], whole[:, 4:], atol=1e-3)


def test_a_model_that_reads_both_ways_reads_up_to_the_place_alone(folder_of, perturb):
    model = reader(config_of(str(folder_of("bert")))).eval()
    perturb(model)
    vectors = torch.zeros((1, 5, 8))
    with torch.no_grad():
        for place in range(4):
            given = torch.tensor([[place]])
            one = model.user(vectors, history([3, 1, 0, 4, 7]), None, given)
            other = model.user(vectors, history([*[3, 1, 0, 4, 7][:place], *[5] * (5 - place)]), None, given)
            torch.testing.assert_close(one, other)
    check_places(model, LearningConfig(examples="next-item"))
    with pytest.raises(ConfigError, match=r'reads in both directions.*set learning\.examples = "next-item"') as raised:
        check_places(model, LearningConfig())
    assert "\n" not in str(raised.value)


def test_which_models_read_ahead(architecture):
    assert reads_ahead(whole_model_of(architecture)) == (architecture["config"] == "bert")


def whole_model_of(architecture):
    return whole_model(config_of(architecture).user.tower.model, "here")


@pytest.mark.parametrize(
    ("tower", "text", "said"),
    [
        ({"layers": 4}, {}, "model.user.tower.layers: the model has 3 blocks, not 4"),
        ({"modules": ["nothing"]}, {}, "model.user.tower.modules: no layer of a block is called 'nothing'"),
        ({"reads": "items", "blocks": 4}, {}, "model.user.tower.blocks: the model has 3 blocks, not 4"),
        ({"reads": "items", "blocks": 1}, {}, "adapters in blocks that model.user.tower.blocks leaves out"),
        (
            {},
            {"max_tokens": 1024},
            "model.user.text.max_tokens: 1024 tokens and a start and an end are more than the 1024",
        ),
        ({"reads": "items", "model": "minilm"}, {}, "reads in both directions"),
    ],
)
def test_what_does_not_fit(tower, text, said):
    with pytest.raises(DataError) as raised:
        reader(config_of(tower.pop("model", CAUSAL), text=text, **tower))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"gaps": True}, "does not read user.gaps"),
        ({"behaviours": True}, "does not read user.behaviours"),
        ({"tower": {"blocks": 1}}, "blocks goes with reads"),
        ({"text": {"layout": "grouped"}}, "tells no order"),
    ],
)
def test_keys_that_do_not_go_together(user, said):
    with pytest.raises(ValueError, match=said):
        ModelConfig.model_validate({"user": {"tower": {}, **user}})


def test_adapters_add_nothing_at_first():
    plain = reader(config_of(CAUSAL, adapter="ffa-lora"))
    for kind in ("lora", "bottleneck"):
        other = reader(config_of(CAUSAL, adapter=kind))
        hidden = []
        for model in (plain, other):
            told = model.user.telling(*(torch.tensor([[0, 1]]), torch.tensor([[0, 4]]), torch.tensor([2])))
            with torch.no_grad():
                hidden.append(model.user.run(1, input_ids=told.ids))
        torch.testing.assert_close(*hidden)
