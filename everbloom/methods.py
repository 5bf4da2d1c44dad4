"""The families of methods that an experiment chooses from: each one's contract, and the list of its implementations.

To add a method: one file with a frozen class that implements the contract, one line here, one experiment file that uses it.
"""

import importlib.util
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveFloat, PositiveInt

from everbloom.errors import ConfigError
from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from everbloom.availability.presence import Presence
    from everbloom.compression.codec import Block, Codec
    from everbloom.continual.distillation import Distillation
    from everbloom.continual.replay import Replay
    from everbloom.data.catalog import Catalog
    from everbloom.experiment import Experiment
    from everbloom.feedback.lists import Lists
    from everbloom.learning.candidates import Candidates
    from everbloom.privacy.course import Setting
    from everbloom.privacy.plan import PrivacyPlan
    from everbloom.seeding import PublicDraws
    from everbloom.tracking.tracking import Tracking

Progress = Callable[[int, int], None]
"""Called with (done, total) from long work; total is 0 while it is unknown."""


class Source(Method):
    """Where events and items come from."""

    @abstractmethod
    def locate(self, home: Path) -> list[Path]:
        """The files this source reads, in a fixed order (their content addresses the prepared data set).

        `home` is the folder that `everbloom data fetch` filled for this source. Raises `DataError` naming the download address and `--from` when
        they are not there.
        """

    @abstractmethod
    def events(self, files: list[Path]) -> "Iterator[pd.DataFrame]":
        """Chunks of events, in file order, with the columns `user`, `item`, `time` (Unix seconds, int64), `behaviour` (a name), `value`, `text`.

        `user` and `item` are the source's own ids (str or int). A source without timestamps omits `time` and yields each user's events in order.
        `behaviour`, `value` and `text` may be absent (then: the source's default behaviour, 1.0, no text).
        """

    @abstractmethod
    def items(self, files: list[Path]) -> "pd.DataFrame | None":
        """One row an item: column `item` (the id), text fields as str, numeric fields as float. None: only ids are known."""


class FeatureEncoder(Method):
    """Turns item texts into frozen feature vectors."""

    of_each_text_alone: ClassVar[bool] = False
    """Whether a text's features depend on that text alone, and other texts can be encoded to compare with it."""
    tunable: ClassVar[bool] = False
    """Whether it is a language model that `model.items.tower` can fine-tune."""

    @abstractmethod
    def encode(self, texts: list[str], progress: Progress) -> "NDArray[np.float32]":
        """[items, features] float32, a pure function of the texts and of this configuration."""

    def encode_within(self, texts: list[str], others: list[str], progress: Progress) -> "NDArray[np.float32]":
        """[others, features] features of other texts beside those of the catalogue's `texts`, in the same space. What is here is for encoders that
        read every text by itself; one that learns from all of them overrides it."""
        return self.encode(others, progress)

    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies the encoder's result for given texts (name, options, content of the weights) in the feature cache."""


class Modality(Method):
    """One kind of an item's content, as frozen features. Messages of its errors begin with what is wrong; where it stands is put before them."""

    weight: PositiveFloat = 1.0
    """How much it counts beside the others, before anything is learnt."""
    dims: PositiveInt | None = None
    """Public reduction (PCA over the items that have it) to this width; None keeps it whole."""

    @property
    def text_encoder(self) -> FeatureEncoder | None:
        """What encodes a text, if it is texts that this reads."""
        return None

    @abstractmethod
    def read(self, catalog: "Catalog", text: str) -> list[str]:
        """[items] what it reads of each item, empty where the item has none of it; `text` is the experiment's template of an item's text. Raises
        `DataError` if the catalogue does not have it at all."""

    @abstractmethod
    def encode(self, inputs: list[str], progress: Progress) -> "NDArray[np.float32]":
        """[inputs, width] float32 of inputs that are not empty; a row of nan where there is nothing after all. A pure function of the inputs, of this
        configuration and of files that it names. Raises `DataError` if one of these cannot be read."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies the result for given inputs (name, options, content of files) in the feature cache."""

    def identities(self, inputs: list[str]) -> "Iterable[str]":
        """What the cache is to know of the inputs: where they name files, also what these hold."""
        return inputs


class Adapter(Method):
    """What is trained of a language model that is frozen otherwise: a small branch beside each of some of its linear layers."""

    exact_averaging: ClassVar[bool]
    """Whether the mean of devices' parameters gives the mean of what their branches do to a hidden state."""

    @abstractmethod
    def branch(self, met: int, out: int) -> "nn.Module":
        """Beside a layer from width `met` to `out`: a module called with (x [..., met], the layer's own output [..., out]) that gives what is added
        to the output. It adds nothing at first. What is trained in it are `nn.Linear`s; whatever it draws, it draws from the ambient generator.
        """

    @abstractmethod
    def targets(self, architecture: str) -> tuple[str, ...]:
        """Names of the layers that have a branch by default in models of this `model_type`; none: they have to be named."""


class Objective(Method):
    """The loss of one client's examples."""

    @abstractmethod
    def per_example(self, scores: "torch.Tensor", candidates: "Candidates") -> "torch.Tensor":
        """[examples, scored, candidates] scores -> [examples] losses; each depends on its own example alone.

        The gradient with respect to scores in `candidates.masked` columns is exactly zero: norms of gradients rest on it.
        """


class ServerOptimizer(Method):
    """Applies the cohort's mean update to the global parameters: two pure functions, as in FedOpt (Reddi et al., 2021, arXiv 2003.00295)."""

    @abstractmethod
    def init(self, parameters: "NDArray[np.float32]") -> "dict[str, NDArray[np.float32]]":
        """The state before the first round; arrays only, so that a checkpoint holds it."""

    @abstractmethod
    def apply(
        self,
        state: "Mapping[str, NDArray[np.float32]]",
        parameters: "NDArray[np.float32]",
        mean_delta: "NDArray[np.float32]",
    ) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]":
        """(new parameters, new state); the arguments are not changed. [params] float32 each."""


class Compression(Method):
    """What an update becomes on its way to the server, after it was released."""

    feedback: bool = True
    """Whether a device remembers what it could not send and adds it to its next update: some state of the update's size on each device."""

    @abstractmethod
    def open(self, blocks: "Sequence[Block]") -> "Codec":
        """For vectors that hold these parameters. An encoded update of a model is always as long."""


class Mechanism(Method):
    """How a privacy guarantee is kept: who clips what, who adds which noise, and what it costs."""

    units: ClassVar[tuple[str, ...]]
    """Of what it can hide one more or one less."""

    @abstractmethod
    def plan(self, setting: "Setting") -> "PrivacyPlan":
        """The plan of an experiment. Raises `PrivacyError` with the reason if the guarantee could not be kept in this setting."""


class Availability(Method):
    """Who of a simulated population can be asked when."""

    @abstractmethod
    def open(self, clients: int, seed: int) -> "Presence":
        """What this says of a population of so many clients. Raises `DataError` if it rests on a file that does not fit them."""


class ContinualMethod(Method):
    """How a federation goes on learning from period to period. What a method does not say is done as in plain fine-tuning.

    The server's side are pure functions over a memory of arrays [params] (a checkpoint holds it); they see released models alone, so whatever they
    do is post-processing. The device's side is `replay` and `distillation`.
    """

    privacy_cost: ClassVar[str]
    """What it costs beyond as many rounds of plain fine-tuning, in words."""
    reach: ClassVar[float] = 1.0
    """How much further one example moves a step's clipped sum than in plain fine-tuning."""
    whole_history: ClassVar[bool] = False
    """Whether a period's targets are all events so far, and not the period's own."""

    def rounds(self, period: int, rounds: int, warm_rounds: int) -> int:
        """Rounds of a period; an experiment asks for `warm_rounds` of the first and `rounds` of any other."""
        return rounds if period else warm_rounds

    def begin(
        self,
        period: int,
        memory: "Mapping[str, NDArray[np.float32]]",
        parameters: "NDArray[np.float32]",
        initial: "NDArray[np.float32]",
    ) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]":
        """(parameters that the period's rounds start from, memory), given those that the last one ended with and the untrained ones."""
        return parameters, dict(memory)

    def pull(
        self, memory: "Mapping[str, NDArray[np.float32]]", parameters: "NDArray[np.float32]", rate: float
    ) -> "NDArray[np.float32] | None":
        """What is added to a round's mean update [params]: a step of size `rate` down a penalty on the parameters. None: nothing."""
        return None

    def observe(
        self,
        memory: "Mapping[str, NDArray[np.float32]]",
        parameters: "NDArray[np.float32]",
        mean_delta: "NDArray[np.float32]",
        noise_deviation: float,
    ) -> "dict[str, NDArray[np.float32]]":
        """The memory after a round that led to `parameters` [params]; `mean_delta` [params] as released, of which `noise_deviation` is the noise's in
        each coordinate."""
        return dict(memory)

    def merged(
        self, memory: "Mapping[str, NDArray[np.float32]]", parameters: "NDArray[np.float32]"
    ) -> "list[NDArray[np.float32]]":
        """Parameters [params] that a period could end with, given what its rounds ended with; of several the best on validation is taken."""
        return [parameters]

    def end(
        self,
        memory: "Mapping[str, NDArray[np.float32]]",
        parameters: "NDArray[np.float32]",
        trained: "NDArray[np.float32]",
    ) -> "dict[str, NDArray[np.float32]]":
        """The memory after a period that ended with `parameters`, out of what its rounds had `trained` [params]."""
        return dict(memory)

    def teacher(self, memory: "Mapping[str, NDArray[np.float32]]") -> "NDArray[np.float32] | None":
        """Parameters [params] of the model that devices distil from in this period, if any."""
        return None

    @property
    def replay(self) -> "Replay | None":
        """Which old events a device rehearses."""
        return None

    @property
    def distillation(self) -> "Distillation | None":
        """How a device keeps to the teacher."""
        return None


class UserModel(Method):
    """How a person reacts to a ranked list (a click model): who is looked at, and who of these is clicked."""

    @abstractmethod
    def probabilities(self, attraction: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """[users, n] P(click at each rank), from `attraction` [users, n] = P(click | looked at); 0 where there is no item."""

    @abstractmethod
    def clicks(self, attraction: "NDArray[np.float64]", draws: "NDArray[np.float64]") -> "NDArray[np.bool_]":
        """[users, n] one reaction of each user; `draws` [users, 2n] are uniform in [0, 1) and all the randomness there is."""


class Exploration(Method):
    """How lists are made of scores."""

    @abstractmethod
    def lists(
        self, scores: "NDArray[np.float32]", n: int, counts: "NDArray[np.int64]", draws: "PublicDraws"
    ) -> "Lists":
        """Lists of `n` different items from `scores` [users, items], minus infinity where an item must not be shown.

        `counts` [items]: interactions so far. Each user's list depends on that user's scores and draws alone.
        """


class Tracker(Method):
    """Where the numbers of a run's records go beside its JSON lines. It changes no result."""

    package: ClassVar[str]
    """What must be installed."""

    def check(self) -> None:
        """Raises `ConfigError` if the package is not installed."""
        if importlib.util.find_spec(self.package) is None:
            raise ConfigError(
                f"tracking.trackers: {self.package} is not installed; pip install 'everbloom[{self.name}]'"
            )

    @abstractmethod
    def open(self, run: Path, experiment: "Experiment", step: int) -> "Tracking":
        """A run that begins in the directory `run`, or goes on after `step` rounds."""


SOURCES: Registry[Source] = Registry(
    "data source",
    Source,  # type: ignore[type-abstract]
    {
        "movielens-small": "everbloom.data.sources.movielens_small:MovieLensSmall",
        "ml-100k": "everbloom.data.sources.ml_100k:MovieLens100K",
        "ml-1m": "everbloom.data.sources.ml_1m:MovieLens1M",
        "online-retail": "everbloom.data.sources.online_retail:OnlineRetail",
        "amazon-reviews": "everbloom.data.sources.amazon_reviews:AmazonReviews",
        "table": "everbloom.data.sources.table:TableFiles",
        "sequences": "everbloom.data.sources.sequences:Sequences",
        "synthetic": "everbloom.data.sources.synthetic:Synthetic",
    },
)

FEATURE_ENCODERS: Registry[FeatureEncoder] = Registry(
    "feature encoder",
    FeatureEncoder,  # type: ignore[type-abstract]
    {
        "lm": "everbloom.models.features.language_model:LanguageModelFeatures",
        "tfidf": "everbloom.models.features.tfidf:TfidfFeatures",
    },
)

MODALITIES: Registry[Modality] = Registry(
    "modality",
    Modality,  # type: ignore[type-abstract]
    {
        "text": "everbloom.models.features.text:TextModality",
        "categories": "everbloom.models.features.categories:Categories",
        "numbers": "everbloom.models.features.numbers:Numbers",
        "vectors": "everbloom.models.features.vectors:Vectors",
        "image": "everbloom.models.features.image:Images",
    },
)

ADAPTERS: Registry[Adapter] = Registry(
    "adapter",
    Adapter,  # type: ignore[type-abstract]
    {
        "ffa-lora": "everbloom.models.towers.adapters.ffa_lora:FfaLora",
        "lora": "everbloom.models.towers.adapters.lora:Lora",
        "bottleneck": "everbloom.models.towers.adapters.bottleneck:Bottleneck",
    },
)

OBJECTIVES: Registry[Objective] = Registry(
    "objective",
    Objective,  # type: ignore[type-abstract]
    {
        "sampled-softmax": "everbloom.learning.objectives.sampled_softmax:SampledSoftmax",
        "bce": "everbloom.learning.objectives.bce:BinaryCrossEntropy",
        "gbce": "everbloom.learning.objectives.gbce:GeneralisedBinaryCrossEntropy",
    },
)

SERVER_OPTIMIZERS: Registry[ServerOptimizer] = Registry(
    "server optimizer",
    ServerOptimizer,  # type: ignore[type-abstract]
    {
        "fedavg": "everbloom.aggregation.fedavg:FedAvg",
        "fedavgm": "everbloom.aggregation.fedavgm:FedAvgM",
        "fedadam": "everbloom.aggregation.fedadam:FedAdam",
        "fedyogi": "everbloom.aggregation.fedyogi:FedYogi",
    },
)

COMPRESSIONS: Registry[Compression] = Registry(
    "compression",
    Compression,  # type: ignore[type-abstract]
    {
        "top-k": "everbloom.compression.top_k:TopK",
        "8-bit": "everbloom.compression.eight_bit:EightBit",
        "low-rank": "everbloom.compression.low_rank:LowRank",
        "colr": "everbloom.compression.colr:Colr",
    },
)

MECHANISMS: Registry[Mechanism] = Registry(
    "privacy mechanism",
    Mechanism,  # type: ignore[type-abstract]
    {
        "dp-sgd": "everbloom.privacy.mechanisms.dp_sgd:DpSgd",
        "central": "everbloom.privacy.mechanisms.central:Central",
        "matrix-factorisation": "everbloom.privacy.mechanisms.matrix_factorisation:MatrixFactorisation",
        "distributed": "everbloom.privacy.mechanisms.distributed:Distributed",
        "local": "everbloom.privacy.mechanisms.local:Local",
    },
)

AVAILABILITIES: Registry[Availability] = Registry(
    "availability",
    Availability,  # type: ignore[type-abstract]
    {
        "constant": "everbloom.availability.constant:ConstantAvailability",
        "daily": "everbloom.availability.daily:DailyAvailability",
        "trace": "everbloom.availability.trace:TraceAvailability",
    },
)

CONTINUAL_METHODS: Registry[ContinualMethod] = Registry(
    "continual method",
    ContinualMethod,
    {
        "finetune": "everbloom.continual.finetune:Finetune",
        "frozen": "everbloom.continual.frozen:Frozen",
        "replay": "everbloom.continual.replay:Replay",
        "ewc": "everbloom.continual.ewc:Ewc",
        "distillation": "everbloom.continual.distillation:Distillation",
        "proximal": "everbloom.continual.proximal:Proximal",
        "merging": "everbloom.continual.merging:Merging",
        "averaging": "everbloom.continual.averaging:Averaging",
        "retrain": "everbloom.continual.retrain:Retrain",
    },
)

USER_MODELS: Registry[UserModel] = Registry(
    "user model",
    UserModel,  # type: ignore[type-abstract]
    {
        "position-biased": "everbloom.feedback.users.position_biased:PositionBased",
        "cascade": "everbloom.feedback.users.cascade:Cascade",
        "dependent-click": "everbloom.feedback.users.dependent_click:DependentClick",
        "rank-biased": "everbloom.feedback.users.rank_biased:RankBiased",
    },
)

EXPLORATIONS: Registry[Exploration] = Registry(
    "exploration",
    Exploration,  # type: ignore[type-abstract]
    {
        "greedy": "everbloom.feedback.exploration.greedy:Greedy",
        "epsilon-greedy": "everbloom.feedback.exploration.epsilon_greedy:EpsilonGreedy",
        "softmax": "everbloom.feedback.exploration.softmax:Softmax",
        "popularity-penalised": "everbloom.feedback.exploration.popularity_penalised:PopularityPenalised",
        "random": "everbloom.feedback.exploration.uniform:UniformLists",
    },
)

TRACKERS: Registry[Tracker] = Registry(
    "tracker",
    Tracker,  # type: ignore[type-abstract]
    {
        "tensorboard": "everbloom.tracking.tensorboard:TensorBoard",
        "mlflow": "everbloom.tracking.mlflow:MLflow",
        "wandb": "everbloom.tracking.wandb:WeightsAndBiases",
    },
)
