"""The tables of an experiment file, one frozen model each; an unknown key is an error. Defaults are what most experiments want.

Only what stands here can be set. What a device may spend, its clip and its noise live in `PrivacyConfig` and nowhere else;
the plan also reads what an example is and how many steps a round takes.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, SerializeAsAny, model_validator

from everbloom.methods import (
    ADAPTERS,
    AVAILABILITIES,
    CONTINUAL_METHODS,
    EXPLORATIONS,
    FEATURE_ENCODERS,
    MECHANISMS,
    MODALITIES,
    OBJECTIVES,
    SERVER_OPTIMIZERS,
    SOURCES,
    TRACKERS,
    USER_MODELS,
    Adapter,
    Availability,
    ContinualMethod,
    Exploration,
    FeatureEncoder,
    Mechanism,
    Modality,
    Objective,
    ServerOptimizer,
    Source,
    Tracker,
    UserModel,
)
from everbloom.registry import Table

BehaviourName = Literal["view", "click", "like", "save", "purchase", "rate", "search"]
Fraction = Annotated[float, Field(gt=0, le=1)]


class CleaningConfig(Table):
    """What is thrown away before anything else; the report of a prepared data set counts it."""

    min_user_events: PositiveInt = 1
    min_item_events: PositiveInt = 1
    max_user_events: PositiveInt | None = None
    """Users with more events than this are implausible (shared accounts, robots) and are dropped whole."""
    drop_duplicates: bool = True
    """Keep the first of identical (user, item, time, behaviour) rows."""


class LabelConfig(Table):
    """Which events are learning targets."""

    positives: dict[BehaviourName, PositiveFloat] | None = None
    """Behaviours that are targets and their weights in the loss; default: every behaviour in the log, weight 1."""
    min_value: float | None = None
    """An event of behaviour `rate` is a target only from this value on."""


class DataConfig(LabelConfig):
    """Which events and items, and what of them counts."""

    source: Annotated[SerializeAsAny[Source], BeforeValidator(SOURCES.parse)]
    text: str | None = None
    """Template of an item's text; `{field}` is a field of the catalogue. An empty field takes its separator with it. Default: `{title}`, where text
    is needed at all."""
    tie_order: Literal["file", "reverse-file"] = "file"
    """Order of one user's events with equal time: as in the file, or reversed (the published leave-one-out protocol ranks the earlier row later)."""
    cleaning: CleaningConfig = CleaningConfig()


class ProtocolConfig(Table):
    """How events are divided into what is learnt and what is measured."""

    name: Literal["timeline", "leave-one-out"] = "timeline"
    cut: Literal["month", "week", "counts"] = "month"
    """timeline: where global time is cut. `counts` makes `periods` periods of equally many events."""
    periods: PositiveInt | None = None
    """timeline: number of periods, warm start included. Required by `counts`; with `month` or `week`, merges what comes after into the last one."""
    warm_start: PositiveInt | Annotated[float, Field(gt=0, lt=1)] = 1
    """timeline: the first so many calendar units (or, below 1, this fraction of all events) make period 0."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """timeline: the last part of a period's events, by global time, validates its rounds and is learnt in the next period."""
    repeats: bool = False
    """timeline: what a person has met before is ranked and to be found like anything else, as where goods are bought over and over. Default: only
    what is new to a person counts."""
    origin: PositiveInt | None = None
    """timeline: look at this period of those above as if it were the next one: all before it is period 0, it is period 1, and nothing after it
    exists. Several origins make a rolling evaluation (`everbloom rolling`)."""


def _modalities(tables: Any) -> Any:
    """Those that are switched off are left out; a table without `name` is the method that its key names."""
    if not isinstance(tables, Mapping):
        return tables
    there = {key: table for key, table in tables.items() if table is not None and table != "none"}
    known = MODALITIES.names()
    return {
        key: {"name": key, **table} if key in known and isinstance(table, Mapping) else table
        for key, table in there.items()
    }


ModalityKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]


PACKAGED = "minilm"
"""Name of the model that comes as a package (all-MiniLM-L6-v2, Apache-2.0): no hub needed."""


class FreshModel(Table):
    """A language model of some architecture with **random weights**, which knows nothing yet: for tests, and to try an architecture whose weights
    cannot be had."""

    config: str
    """Architecture, as `transformers` calls it: `gpt2`, `bert`, `llama`, ..."""
    tokenizer: str = PACKAGED
    """Whose tokenizer: `minilm` (packaged), a hub id, or a local folder."""
    seed: int = 0
    """Of the random weights; the same on every device."""
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Of the architecture, e.g. `{ n_layer = 4, n_embd = 64, n_head = 4 }`."""


class AdaptersConfig(Table):
    """Which of a language model's layers have adapters; everything else of it stays frozen."""

    adapter: Annotated[SerializeAsAny[Adapter], BeforeValidator(ADAPTERS.parse)] = Field(
        default_factory=lambda: ADAPTERS.parse("ffa-lora")
    )
    layers: PositiveInt | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = 2
    """So many of the top blocks have adapters, or the blocks with these numbers (from 0). What lies below the lowest of them is computed once per
    text and cached."""
    modules: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the linear layers in a block that have a branch, as PEFT's `target_modules`; default: what is usual for the adapter and the
    architecture (LoRA: query and value)."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the frozen part computes in. `auto`: bfloat16 on a GPU that has it, else float32. Adapters are float32 always."""


class TowerConfig(AdaptersConfig):
    """The language model of the items' texts is fine-tuned on the devices, through adapters in some of its blocks."""

    states: Literal["float32", "float16"] = "float32"
    """How the cached hidden states are kept; float16 takes half the space."""


class ItemModelConfig(Table):
    """Item vector = adapter(frozen features) + embedding; and a bias."""

    features: Annotated[SerializeAsAny[FeatureEncoder], BeforeValidator(FEATURE_ENCODERS.parse)] | None = None
    """Of the items' texts: one kind of content, which needs no list of modalities."""
    modalities: Annotated[
        dict[ModalityKey, Annotated[SerializeAsAny[Modality], BeforeValidator(MODALITIES.parse)]],
        BeforeValidator(_modalities),
    ] = Field(default_factory=dict)
    """Instead of `features`: several kinds of content, each a table of its own with a name of your choice, `[model.items.modalities.price]`. Where
    that is a method's, `name` may be left out; `-s model.items.modalities.price=none` switches one off."""
    fusion: Literal["gated", "linear"] = "gated"
    """How modalities become one vector. `gated`: an adapter each, mixed by weights that depend on the item's content; `linear`: one adapter over all
    of them, which is where the gated one starts from. Either way an item that lacks a modality has a vector of the usual length."""
    feature_dim: PositiveInt | None = None
    """Public reduction (PCA over the catalogue) of the features to this width; None keeps them whole."""
    tower: TowerConfig | None = None
    """Fine-tune the language model of `features` itself: an item's features are then what it makes of the text with its adapters, which change
    nothing at first. None: features stay frozen."""
    train_adapter: bool = True
    """False: the adapter stays the orthogonal map it begins as and is not sent, so that of the items' texts nothing is learnt."""
    embedding: bool = True
    """A collaborative vector per item, added to the adapted features."""
    embedding_scale: PositiveFloat = 1.0
    """Unit of the collaborative vectors' parameters. Under a clip norm it decides how much of a gradient's norm, hence of the privacy budget, goes to
    what is known of items beyond their text."""
    bias: Literal["item", "features", "none"] = "item"
    """Popularity bias: one parameter per item, a linear function of the features, or none."""
    bias_scale: PositiveFloat = 1.0
    """Unit of the bias parameters. Under a clip norm it decides how much of a gradient's norm, hence of the privacy budget, goes to popularity."""

    @property
    def described(self) -> bool:
        """Whether items have features of their content."""
        return self.features is not None or bool(self.modalities)

    @property
    def text_block(self) -> int:
        """Which of the modalities is that of texts (the first, if several are); -1: none is."""
        if self.features is not None:
            return 0
        return next((place for place, kind in enumerate(self.modalities.values()) if kind.text_encoder is not None), -1)

    @property
    def text_encoder(self) -> FeatureEncoder | None:
        """What encodes the items' texts."""
        if self.features is not None or self.text_block < 0:
            return self.features
        return list(self.modalities.values())[self.text_block].text_encoder

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> "ItemModelConfig":
        if self.features is not None and self.modalities:
            raise ValueError(
                "features is the one modality of a model without a list of them; give [model.items.modalities] or features, not both"
            )
        if self.modalities and self.feature_dim is not None:
            raise ValueError("feature_dim belongs to features; give a modality its own dims")
        return self


class ContentConfig(Table):
    """Content match: similarity of a candidate's text to those of the last events. A prior that works before anything is learnt."""

    lags: PositiveInt = 10
    """How many of the last events are compared; one weight each."""
    strength: PositiveFloat = 8.0
    """Initial weight of the last event's cosine; the others start at nothing."""
    learn: bool = True
    """Whether the weights are learnt; else they stay as they begin and are not sent."""


class PriorConfig(Table):
    """Popularity prior: how many people wanted an item lately, added to every score. It is counted, not learnt: a period begins with rounds in which
    devices answer with which items they wanted, through the same mechanism, at the same charge as any other round."""

    rounds: PositiveInt = 1
    """Rounds of counting that each period begins with, beside its `federation.rounds`."""
    decay: Annotated[float, Field(ge=0, le=1)] = 0.5
    """What is left of older counts when a new period's are added."""
    smoothing: PositiveFloat = 1.0
    """Unit of the counts, below which they hardly differ: so many standard deviations of the mechanism's noise (without privacy: so many people)."""
    strength: Annotated[float, Field(ge=0)] = 1.0
    """Initial weight of log(1 + count)."""
    learn: bool = True
    """Whether the weight is learnt; else it stays as it begins and is not sent."""


class CooccurrenceConfig(Table):
    """Item-to-item co-occurrence within a device's own history: whether a candidate, or what resembles it, came with the last events before."""

    window: PositiveInt = 5
    """Events at most so far from each other have come together."""
    recent: PositiveInt = 5
    """How many of the last events' companions are looked for."""
    decay: Fraction = 0.9
    """How much less each event further back counts."""
    sharpness: PositiveFloat = 4.0
    """Power of the cosine by which other events resemble the last ones, where there are features."""
    strength: Annotated[float, Field(ge=0)] = 1.0
    """Initial weight of each signal."""
    learn: bool = True
    """Whether the weights are learnt; else they stay as they begin and are not sent."""


class UserTextConfig(Table):
    """A history in words: for a language model that reads it, and for people."""

    language: Literal["en", "zh"] = "en"
    """Whose ready phrases are used; other languages by `phrases` of their own."""
    phrases: dict[BehaviourName, str] = Field(default_factory=dict)
    """Own phrases instead, by behaviour: `{ view = "watched: {items}" }`."""
    item: str | None = None
    """Template of an item in a history; default: `data.text`. A search is told in its own words."""
    layout: Literal["chronological", "grouped"] = "chronological"
    """`chronological`: in the order of the events, what follows with the same behaviour joined; `grouped`: one phrase a behaviour."""
    max_events: PositiveInt = 50
    """The most recent events that are told."""
    max_tokens: PositiveInt = 256
    """And of these as many, newest first, as make at most so many tokens."""

    @model_validator(mode="after")
    def _phrases_name_items(self) -> "UserTextConfig":
        for behaviour, phrase in self.phrases.items():
            if phrase.count("{items}") != 1:
                raise ValueError(f"phrases.{behaviour} must name {{items}} once, given: {phrase!r}")
        return self


class UserTowerConfig(AdaptersConfig):
    """A language model reads the history, in place of the transformer; it is fine-tuned on the devices, through adapters."""

    model: str | FreshModel = PACKAGED
    """`minilm` (packaged), a hub id, or a local folder; or a table: an architecture with random weights."""
    reads: Literal["text", "items"] = "text"
    """`text`: the behaviour told in words, as [model.user.text] says. `items`: the item vectors, in place of the embeddings of tokens; the language
    model's blocks are then the sequence encoder, and must be causal."""
    blocks: PositiveInt | None = None
    """`reads = "items"`: only so many of the top blocks are run; default: all."""
    item_tokens: PositiveInt = 16
    """`reads = "text"`: at most so many tokens of an item's words."""


class UserModelConfig(Table):
    """Causal transformer over the item vectors of the history."""

    layers: Annotated[int, Field(ge=0)] = 2
    heads: PositiveInt = 2
    history: Annotated[int, Field(ge=1, le=2048)] = 50
    """The most recent events that are read."""
    feedforward: Annotated[int, Field(ge=0)] = 4
    """Width of a block's hidden layer, in multiples of dim; 0 leaves it out (far fewer parameters for noise to fall on)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scale: PositiveFloat = 1.0
    """Initial length of user vectors, in units of sqrt(dim): small, and the content match and the bias lead at first."""
    behaviours: bool = False
    """Read what the user did with an item (view, purchase, ...) beside the item."""
    gaps: bool = False
    """Read how long ago the event before was, at each event and when the next one is to be predicted. Wants timestamps and `protocol.name =
    "timeline"`, which says when that is."""
    searches: bool = False
    """Read what was last searched for, before each event and before what is to be predicted: the search's text, by the encoder of the items' texts,
    which must be a language model. Other models read past searches."""
    personal: bool = False
    """Every device has an offset of its user vectors that it learns for itself, with `learning.personal_rate`, keeps from round to round, and never
    sends."""
    text: UserTextConfig = UserTextConfig()
    tower: UserTowerConfig | None = None


class ModelConfig(Table):
    """The recommender."""

    dim: PositiveInt = 64
    items: ItemModelConfig = ItemModelConfig()
    user: UserModelConfig = UserModelConfig()
    content: ContentConfig | None = None
    prior: PriorConfig | None = None
    cooccurrence: CooccurrenceConfig | None = None
    score: Literal["dot", "mlp"] = "dot"
    """`dot`: u . i. `mlp`: W [u, i] with one hidden layer (a purely linear W over the pair would rank items alike for every user)."""

    @model_validator(mode="after")
    def _consistent(self) -> "ModelConfig":
        if self.dim % self.user.heads:
            raise ValueError(f"dim {self.dim} must be a multiple of user.heads {self.user.heads}")
        if not self.items.described and not self.items.embedding:
            raise ValueError(
                "items need features or an embedding; set items.embedding = true or give [model.items.features]"
            )
        if not self.items.described and (self.items.feature_dim or self.items.bias == "features" or self.content):
            raise ValueError(
                'items.feature_dim, items.bias = "features" and [model.content] need [model.items.features] or modalities'
            )
        self._check_user_tower()
        encoder = self.items.text_encoder
        if self.user.searches and not (encoder is not None and encoder.of_each_text_alone):
            raise ValueError(
                "user.searches needs items whose texts are encoded one by one, so that a device can encode what was searched for; "
                'set items.features = { name = "lm" }'
            )
        if self.items.tower is not None and not (self.items.features is not None and self.items.features.tunable):
            raise ValueError('[model.items.tower] fine-tunes a language model; set items.features = { name = "lm" }')
        return self

    def counts_in(self, round: int) -> bool:
        """Whether devices count in this round of a period (from 1), and do not learn."""
        return self.prior is not None and round <= self.prior.rounds

    def _check_user_tower(self) -> None:
        tower, user = self.user.tower, self.user
        if tower is None:
            return
        if user.gaps or user.searches or (user.behaviours and tower.reads == "text"):
            key = "gaps" if user.gaps else "searches" if user.searches else "behaviours"
            raise ValueError(f"[model.user.tower] does not read user.{key}; leave it out")
        if tower.reads == "text" and tower.blocks is not None:
            raise ValueError('user.tower.blocks goes with reads = "items": a text is read by the whole model')
        if tower.reads == "text" and user.text.layout != "chronological":
            raise ValueError(
                'user.text.layout = "grouped" tells no order, so there is no place of an event in it; use "chronological" with [model.user.tower]'
            )


class LearningConfig(Table):
    """What a client does with its examples. The privacy plan counts `local_steps` and states what an example is."""

    objective: Annotated[SerializeAsAny[Objective], BeforeValidator(OBJECTIVES.parse)] = Field(
        default_factory=lambda: OBJECTIVES.parse({"name": "sampled-softmax"})
    )
    examples: Literal["windows", "next-item"] = "windows"
    """`windows`: pieces of the history of `model.user.history` events, one example each. `next-item`: one example per positive, with the
    `model.user.history - 1` events before it; many more examples, but an event lies in as many as `model.user.history` of them."""
    max_examples: PositiveInt | None = None
    """A client trains on at most this many of its examples a round, drawn anew each round (without privacy only: it would change sensitivity)."""
    negatives: PositiveInt = 256
    """Items drawn uniformly from the catalogue, shared by all examples of a client in a round."""
    local_steps: PositiveInt = 1
    learning_rate: PositiveFloat = 1.0
    personal_rate: PositiveFloat = 0.3
    """With `model.user.personal`: the learning rate of what a device keeps to itself."""
    proximal_mu: Annotated[float, Field(ge=0)] = 0.0
    """FedProx (Li et al., 2020): mu/2 |w - w_global|^2 is added to the local loss."""


class PrivacyConfig(Table):
    """Everything that decides the privacy guarantee."""

    unit: Literal["none", "example", "interaction", "user"] = "none"
    """Of what one more or one less is hidden: one example of a device, one interaction, or everything of one user."""
    mechanism: Annotated[SerializeAsAny[Mechanism], BeforeValidator(MECHANISMS.parse)] | None = None
    """Who clips and who adds the noise. Default: `dp-sgd` for examples and interactions, `central` for users."""
    epsilon: PositiveFloat | None = None
    """The budget of one device over the whole run; the noise is calibrated to it."""
    delta: Annotated[float, Field(gt=0, lt=1)] | None = None
    noise_multiplier: PositiveFloat | None = None
    """Instead of epsilon: the noise's standard deviation over the sensitivity; epsilon is computed."""
    clip_norm: PositiveFloat = 1.0
    """L2 bound of one example's gradient (`dp-sgd`) or of a device's whole update (user unit)."""
    sampling: Literal["full", "poisson"] = "full"
    """`dp-sgd`: which examples a local step reads: all of them, or each with probability `sample_rate`."""
    sample_rate: Fraction | None = None
    denominator: PositiveFloat = 50.0
    """`dp-sgd`: fixed, public divisor of the noisy sum of a step (an expected batch size); the true number of examples would leak."""
    max_participations: PositiveInt | None = None
    """A device takes part in at most this many rounds of the run; default: every round."""
    max_participations_per_period: PositiveInt | None = None
    """And in at most this many of one period: what a device can spend on one period, so that there is something left for the next."""

    @model_validator(mode="before")
    @classmethod
    def _default_mechanism(cls, table: Any) -> Any:
        if (
            isinstance(table, Mapping)
            and table.get("mechanism") is None
            and (name := _MECHANISM_OF.get(str(table.get("unit"))))
        ):
            return {**table, "mechanism": {"name": name}}
        return table

    @model_validator(mode="after")
    def _consistent(self) -> "PrivacyConfig":
        if "unit" not in self.model_fields_set and self.model_fields_set:
            raise ValueError(
                'unit is missing, so nothing would be private: set privacy.unit to "example", "interaction" or "user" '
                '(or "none", to ignore the rest of this table)'
            )
        if self.unit == "none":
            return self
        if self.delta is None:
            raise ValueError(
                "delta is missing: epsilon means nothing without it; set privacy.delta (well below 1 / examples of a device, or 1 / users)"
            )
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError(
                "give exactly one of epsilon (noise is calibrated) and noise_multiplier (epsilon is computed)"
            )
        if (self.sampling == "poisson") != (self.sample_rate is not None):
            raise ValueError('sample_rate goes with sampling = "poisson", and only with it')
        assert self.mechanism is not None
        if self.unit not in self.mechanism.units:
            raise ValueError(
                f'mechanism "{self.mechanism.name}" gives no guarantee for unit "{self.unit}", only for: {", ".join(self.mechanism.units)}'
            )
        return self


_MECHANISM_OF = {"example": "dp-sgd", "interaction": "dp-sgd", "user": "central"}
"""unit -> the mechanism that is meant when none is named."""


class ContinualConfig(Table):
    """Learning on from period to period, and measuring what is gained and forgotten. Needs the timeline protocol."""

    method: Annotated[SerializeAsAny[ContinualMethod], BeforeValidator(CONTINUAL_METHODS.parse)] = Field(
        default_factory=lambda: CONTINUAL_METHODS.parse("finetune")
    )
    warm_rounds: PositiveInt | None = None
    """Rounds of period 0; default: `federation.rounds`, as in every other period."""
    optimizer: Literal["fresh", "carried"] = "fresh"
    """Whether the server's optimizer starts each period afresh, or goes on with what it knows (never where the model begins anew)."""
    panel: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """This share of the users, drawn by the seed, never trains: what a model remembers of a past period is measured on them. With 0 everybody
    trains, and it is measured on what was learnt."""
    deletion_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """In each period this share of the users known so far deletes all data, for good: they neither train nor are measured from then on."""


class EarlyStopConfig(Table):
    """Stop a period when validation stops improving; the best parameters are kept."""

    patience: PositiveInt
    """Evaluations without improvement."""


class FederationConfig(Table):
    """The server's side."""

    rounds: PositiveInt = 100
    """Rounds of learning per period; those that a [model.prior] counts in come before them."""
    cohort: PositiveInt | Fraction = 1.0
    """Clients per round: a number, or a fraction of the population."""
    sampler: Literal["uniform", "poisson"] = "uniform"
    """A fixed-size cohort without replacement, or each client independently with probability cohort / population."""
    over_selection: Annotated[float, Field(ge=0)] = 0.0
    """So many more devices than `cohort` are asked, as a fraction of it; the round closes when `cohort` of them have answered. Favours the fast."""
    optimizer: Annotated[SerializeAsAny[ServerOptimizer], BeforeValidator(SERVER_OPTIMIZERS.parse)] = Field(
        default_factory=lambda: SERVER_OPTIMIZERS.parse({"name": "fedadam"})
    )
    min_replies: PositiveInt = 1
    """A round with fewer replies changes nothing."""
    reply_timeout: PositiveFloat = 600.0
    """The deadline of a round, in seconds: who has not answered by then has failed. Simulated seconds where there is a [population]."""
    checkpoint_every: PositiveInt = 1
    """Rounds between checkpoints."""
    early_stop: EarlyStopConfig | None = None

    def cohort_size(self, population: int) -> int:
        """The (expected) number of clients of a round; at least one."""
        if isinstance(self.cohort, int):
            return min(self.cohort, population)
        return max(1, round(self.cohort * population))

    def asked_size(self, population: int) -> int:
        """The (expected) number of clients that are asked, so that `cohort` of them answer."""
        wanted = self.cohort_size(population)
        more = math.ceil(round(wanted * self.over_selection, 6))  # 0.1 of 30 is 3, in floating point too
        return min(wanted + more, population)


class SpeedConfig(Table):
    """How fast devices train: log-normal over devices, one draw a device for the whole run."""

    seconds_per_example: Annotated[float, Field(ge=0)]
    """The median device's time for one of its events in one local step."""
    sigma: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the logarithm: 0.7 makes one device in forty 4 times as slow as the median, and one 4 times as fast."""


class BandwidthConfig(Table):
    """How fast devices send and receive parameters: log-normal over devices, one draw a device for both ways and the whole run."""

    download: PositiveFloat
    """The median device's bytes per second."""
    upload: PositiveFloat
    """The median device's bytes per second."""
    sigma: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the logarithm."""


class PopulationConfig(Table):
    """How the devices of a simulation in process behave: when they can be asked, how long they take, how they fail. Without this table everybody is
    always there, answers at once and never fails. On Flower, devices come and go by themselves and this table is not read."""

    availability: Annotated[SerializeAsAny[Availability], BeforeValidator(AVAILABILITIES.parse)] = Field(
        default_factory=lambda: AVAILABILITIES.parse({"name": "constant"})
    )
    speed: SpeedConfig | None = None
    """None: training takes no time, unless a trace tells each device's speed."""
    bandwidth: BandwidthConfig | None = None
    """None: messages take no time."""
    overhead_seconds: Annotated[float, Field(ge=0)] = 0.0
    """What a device needs beside training and transfer, each time it is asked."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a device that was asked never answers."""
    start_seconds: Annotated[int, Field(ge=0)] = 0
    """When the first round begins: seconds after midnight, or into a trace."""
    pause_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Between the close of a round and the next one."""


class FeedbackConfig(Table):
    """`everbloom feedback`: after the warm start people react to what the model shows them, and only these clicks are learnt from. `everbloom run`
    does not read this table."""

    steps: PositiveInt = 8
    """How often everybody is shown a list. What is clicked in a step is learnt before the next; the first shows what the warm start has learnt."""
    rounds: PositiveInt | None = None
    """Rounds of training between two steps; default: federation.rounds, as in the warm start."""
    top_n: PositiveInt = 10
    """Length of a list."""
    active: Fraction = 1.0
    """Share of the people, drawn anew each step, who are shown a list."""
    user_model: Annotated[SerializeAsAny[UserModel], BeforeValidator(USER_MODELS.parse)] = Field(
        default_factory=lambda: USER_MODELS.parse({"name": "position-biased"})
    )
    explorations: Annotated[
        tuple[Annotated[SerializeAsAny[Exploration], BeforeValidator(EXPLORATIONS.parse)], ...], Field(min_length=1)
    ] = Field(default_factory=lambda: (EXPLORATIONS.parse("greedy"), EXPLORATIONS.parse("epsilon-greedy")))
    """The ways of making lists that are compared, each in a loop of its own; `random` is always run beside them, as the control."""
    repeats: bool = False
    """Whether what a person has met may be shown again."""
    outside: PositiveFloat = 5.0
    """Where tastes are known (`synthetic`): how attractive it is to click on nothing, in units of an average item."""
    base_rate: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Elsewhere: P(click | looked at) of an item that the person does not meet in the rest of the log; of those that are met it is 1."""


class EvaluationConfig(Table):
    """Central evaluation."""

    every: PositiveInt = 10
    """Rounds between evaluations on validation."""
    k: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (5, 10, 20)
    select: str = "ndcg@10"
    """Validation measure (full ranking) that chooses the parameters which are tested."""
    candidates: str | None = None
    """File of stored candidates in the data set's folder: adds the sampled-99 protocol, for comparison with papers only."""
    max_users: PositiveInt | None = None
    """Validate on a seeded sample of so many users."""
    max_test_users: PositiveInt | None = None
    """Test on a seeded sample of so many users, where ranking for everybody would take too long; default: all, as published figures want it."""
    slices: bool = True


class CentralConfig(Table):
    """`everbloom central`: the same model on pooled data, the upper bound."""

    epochs: PositiveInt = 100
    batch: PositiveInt = 64
    """Examples per step."""
    weighting: Literal["client", "example"] = "client"
    """`client`: every user counts the same, as in a federation; `example`: every example does."""
    learning_rate: PositiveFloat = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    patience: PositiveInt = 10
    """Epochs without improvement on validation."""


class RuntimeConfig(Table):
    """Where clients run; never changes a result beyond floating-point tolerance."""

    name: Literal["in-process", "ray", "flower"] = "in-process"
    clients: Literal["together", "unfolded", "one-by-one"] = "together"
    """in-process and ray: train a cohort in batched operations and answer with sums (`together`) or with one update a client (`unfolded`);
    `one-by-one`: each device through the ClientApp and Opacus, as in a deployment."""
    workers: PositiveInt | Literal["cores"] = 1
    """in-process: processes that clients are spread over; 1 trains them in this one. ray: workers, each with a CPU of its own; `cores`: all CPUs
    of the cluster."""
    memory_mb: PositiveInt | None = None
    """All processes of a simulation together hold at most about so many MB; default: no limit. ray: those of all machines, and without Ray's own."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where cohorts are trained; `auto`: on a GPU if there is one."""
    masks: bool = False
    """in-process: under the distributed mechanism, exchange keys and masks as devices do on Flower, device by device. The sums are the same to the
    bit: this tests the protocol, and slows everything down."""
    address: str | None = None
    """ray: an existing cluster, "auto" or e.g. "10.0.0.1:6379"; default: one is started on this machine for the run."""


class TrackingConfig(Table):
    """Where a run's numbers go beside its JSON lines, which are always written; never changes a result."""

    trackers: tuple[Annotated[SerializeAsAny[Tracker], BeforeValidator(TRACKERS.parse)], ...] = ()
    """Names, or tables with a name and options. `everbloom run --track NAME` sets it."""
