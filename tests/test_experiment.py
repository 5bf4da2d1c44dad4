"""Experiment files: what is read, what is overridden, and messages one can act on."""

import tomllib
from pathlib import Path

import pytest

from everbloom.errors import ConfigError
from everbloom.experiment import load_experiment, parse_experiment

CONFIGS = sorted(
    path for path in (Path(__file__).parent.parent / "configs").rglob("*.toml") if path.parent.name != "sweeps"
)
MINIMAL = 'name = "small"\n[data.source]\nname = "synthetic"\nitems = 30\n'


@pytest.fixture
def path(tmp_path) -> Path:
    found = tmp_path / "small.toml"
    found.write_text(MINIMAL)
    return found


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, overrides)
    told = str(caught.value)
    assert "\n" not in told
    return told.removeprefix(f"{path}: ")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_file_in_configs_parses(config):
    experiment = load_experiment(config)
    assert experiment.name == config.stem
    assert parse_experiment(tomllib.loads(experiment.to_toml())) == experiment


def test_a_minimal_file_is_an_experiment(path):
    experiment = load_experiment(path)
    assert experiment.privacy.unit == "none"
    assert experiment.federation.optimizer.name == "fedadam"
    assert experiment.data.source.model_dump()["items"] == 30


def test_overrides_are_toml_values_and_bare_words_strings(path):
    experiment = load_experiment(
        path,
        [
            "federation.rounds=7",
            "federation.optimizer.name=fedavg",
            "evaluation.k=[1, 2]",
            'data.text = "{title}: {category}"',
            "data.source.users=9",
            "model.items.bias=none",
            "privacy.unit=none",
            "federation.cohort=0.5",
        ],
    )
    assert experiment.federation.rounds == 7
    assert experiment.federation.optimizer.name == "fedavg"
    assert experiment.evaluation.k == (1, 2)
    assert experiment.data.text == "{title}: {category}"
    assert experiment.data.source.model_dump()["users"] == 9
    assert experiment.model.items.bias == "none"
    assert experiment.federation.cohort == 0.5


def test_a_whole_number_is_clients_and_a_fraction_a_share(path):
    assert load_experiment(path, ["federation.cohort=1"]).federation.cohort == 1
    assert isinstance(load_experiment(path, ["federation.cohort=1"]).federation.cohort, int)
    assert isinstance(load_experiment(path, ["federation.cohort=1.0"]).federation.cohort, float)


def test_an_optional_table_is_taken_away_with_none(path):
    features = "model.items.features={name = 'tfidf'}"
    assert load_experiment(path, [features]).model.items.features is not None
    assert load_experiment(path, [features, "model.items.features=none"]).model.items.features is None


PRICED = """model.items.modalities={text = {encoder = "tfidf"}, price = {name = "numbers", fields = ["price"], log = true}}"""


def test_modalities_are_tables_with_names_of_ones_own_and_can_be_switched_off(path):
    items = load_experiment(path, [PRICED]).model.items
    assert {key: modality.name for key, modality in items.modalities.items()} == {"text": "text", "price": "numbers"}
    assert items.described
    less = load_experiment(path, [PRICED, "model.items.modalities.price=none", "model.items.fusion=linear"]).model.items
    assert list(less.modalities) == ["text"]
    nothing = ["model.items.modalities.price=none", "model.items.modalities.text=none"]
    assert not load_experiment(path, [PRICED, *nothing]).model.items.described
    again = tomllib.loads(load_experiment(path, [PRICED]).to_toml())
    assert parse_experiment(again) == load_experiment(path, [PRICED])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ([PRICED, "model.items.features={name = 'tfidf'}"], "model.items: features is the one modality of a model"),
        ([PRICED, "model.items.feature_dim=3"], "model.items: feature_dim belongs to features; give a modality its own dims"),
        (["model.items.modalities.x={fields = ['price']}"], "model.items.modalities.x: expected a table with a `name`, one of: text"),
        (["model.items.modalities.x={name = 'smell'}"], "model.items.modalities.x: unknown modality 'smell'; expected one of: text"),
        (["model.items.modalities.numbers={field = ['price']}"], "model.items.modalities.numbers.field: unknown key; did you mean 'fields'?"),
        (["model.items.modalities.numbers={fields = []}"], "model.items.modalities.numbers.fields: Tuple should have at least 1 item"),
        (["model.items.modalities.categories={weight = 0}"], "model.items.modalities.categories.weight: Input should be greater than 0"),
        ([PRICED, "model.items.modalities.pirce=none"], "=none': model.items.modalities has no pirce; it has: text, price"),
        (["model.items.modalities.price=none"], "model.items.modalities has no price; it has: nothing"),
        (["model.items.modalities=3"], "model.items.modalities: Input should be a valid dictionary"),
        (["model.user.text.phrases={view = 'saw'}"], "model.user.text: phrases.view must name {items} once, given: 'saw'"),
        (["model.user.text.phrases={buy = 'got {items}'}"], "model.user.text.phrases.buy: Input should be 'view'"),
    ],
)  # fmt: skip
def test_wrong_modalities_and_phrases_are_told(path, overrides, told):
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, overrides)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_names_the_nearest_and_all_that_there_are(path):
    told = refused(path, "federation.cohrot=3")
    assert told.startswith("federation.cohrot: unknown key; did you mean 'cohort'? the keys here are: rounds, cohort,")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("modle.dim=3", "modle: unknown key; did you mean 'model'? the keys here are: name, seed, data,"),
        ("data.source.itms=3", "data.source.itms: unknown key; did you mean 'items'? the keys here are: name, seed, users"),
        ("federation.optimizer={name = 'fedavg', learning = 1}", "federation.optimizer.learning: unknown key; did you mean 'learning_rate'?"),
        ("federation.early_stop={patience = 1, wait = 1}", "federation.early_stop.wait: unknown key; the keys here are: patience"),
        ("model.user.widht=1", "model.user.widht: unknown key; "),
        ("federation.early_stop={}", "federation.early_stop.patience: missing; it has no default"),
        ("federation.rounds=0", "federation.rounds: Input should be greater than 0 (given: 0)"),
        ("federation.rounds=many", "federation.rounds: Input should be a valid integer"),
        ("model.dim=2.5", "model.dim: Input should be a valid integer, got a number with a fractional part (given: 2.5)"),
        ("federation.cohort=1.5", "federation.cohort: Input should be a valid integer, got a number with a fractional part, or: "
         "Input should be less than or equal to 1 (given: 1.5)"),
        ("runtime.workers=two", "runtime.workers: Input should be a valid integer, unable to parse string as an integer, or: "
         "Input should be 'cores' (given: \"two\")"),
        ("model.dim=15", "model: dim 15 must be a multiple of user.heads 2"),
        ("privacy.clip_norm=-1", "privacy.clip_norm: Input should be greater than 0 (given: -1)"),
        ("privacy.clip_norm=inf", "privacy.clip_norm: Input should be a finite number"),
        ("privacy={unit = 'example', epsilon = 8}", "privacy: delta is missing: epsilon means nothing without it"),
        ("privacy.epsilon=8", "privacy: unit is missing, so nothing would be private"),
        ("data.source.name=netflix", "data.source: unknown data source 'netflix'; expected one of: movielens-small, "),
        ("data.source=7", "data.source: expected a table with a `name`, one of: movielens-small, "),
        ("federation.optimizer.name=sgd", "federation.optimizer: unknown server optimizer 'sgd'; expected one of: fedavg, "),
        ("data.positives={buy = 1}", "data.positives.buy: Input should be 'view', 'click'"),
        ("model.items.embedding=false", "model: items need features or an embedding"),
        ("name=My Experiment", "name: String should match pattern"),
        ("rounds", "override 'rounds': expected key=value"),
        ("=3", "override '=3': expected key=value"),
        ("data.source.users.x=1", "data.source.users: "),
        ("name.x=1", "override 'name.x=1': name is a value, not a table"),
    ],
)  # fmt: skip
def test_mistakes(path, override, told):
    assert refused(path, override).startswith(told)


def test_every_mistake_is_named_at_once(path):
    told = refused(path, "model.dmi=4", "federation.rounds=-1", "data.source.user=3")
    assert told.count("; ") >= 4
    for where in ("model.dmi: ", "federation.rounds: ", "data.source.user: "):
        assert where in told


def test_a_key_with_a_line_break_stays_one_line(path):
    path.write_text(MINIMAL + '"a\\nb" = 1\n')
    with pytest.raises(ConfigError, match="unknown key"):
        load_experiment(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: no such experiment file"):
        load_experiment(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(ConfigError, match=r"broken\.toml: not a TOML file"):
        load_experiment(tmp_path / "broken.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml: not a TOML file"):
        load_experiment(tmp_path / "binary.toml")


def test_experiments_are_frozen(path):
    experiment = load_experiment(path)
    for table in (experiment, experiment.data.source, experiment.federation.optimizer, experiment.privacy):
        with pytest.raises(ValueError, match="frozen"):
            table.name = "other"
