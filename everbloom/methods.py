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

    from everbloom.aggregation.updates import Updates
    from everbloom.availability.presence import Presence
    from everbloom.compression.codec import Codec, Stretch
    from everbloom.config import LearningConfig
    from everbloom.continual.distillation import Distillation
    from everbloom.continual.replay import Replay
    from everbloom.data.catalog import Catalog
    from everbloom.evaluation.evaluator import Scorer
    from everbloom.evaluation.past import Past
    from everbloom.experiment import Experiment
    from everbloom.federated_baselines.block import Block
    from everbloom.federated_baselines.state import Clients, State
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

    def alone(self) -> "tuple[Catalog, int] | None":
        """(catalogue, how many people there may be) of a source that holds no event; None: it does."""
        return None

    def pinned(self) -> "Source":
        """The same source, which will read the same at any later time: of one that has versions, this version."""
        return self


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


class AggregationRule(Method):
    """How the updates of a round's devices become one: in place of their mean, something that a few wrong ones cannot move far.

    Pure functions; what is known from round to round are arrays, so that a checkpoint holds it.
    """

    separate: ClassVar[bool] = True
    """Whether it must see every device's update by itself; if not, a runtime may send sums."""

    @property
    def least(self) -> int:
        """Updates without which there is nothing to combine: the round then changes nothing."""
        return 1

    def init(self, parameters: int) -> "dict[str, NDArray[np.float32]]":
        """What is known before the first round."""
        return {}

    @abstractmethod
    def combine(
        self, state: "Mapping[str, NDArray[np.float32]]", updates: "Updates"
    ) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]":
        """([params] what the server optimizer applies in place of the mean, new state); the arguments are not changed.

        Updates come in the order of the devices' numbers and are finite. The result may depend on that order among equals alone.
        """


class FederatedAlgorithm(Method):
    """What devices and server do beyond averaging local gradient steps. What an algorithm does not say is done as in FedAvg.

    Pure functions. The device's side is vectorised over clients: `kept` [clients, numbers] is what each of them remembers from round to round, zeros
    at first, and `sent` [params] is what the server sends beside the model. The server's side are arrays [params], so that a checkpoint holds them.
    """

    units: ClassVar[tuple[str, ...]] = ()
    """Privacy units under which a plan's claim covers it; none unless its class says so."""
    unsound: ClassVar[str] = "what it costs under differential privacy is not known"
    """Why not under others."""
    steers: ClassVar[bool] = False
    """Whether it adds to the gradient of every parameter, touched by a device's examples or not."""
    sends: ClassVar[bool] = False
    """Whether the server sends a vector beside the model."""

    @property
    def proximal(self) -> float:
        """Strength of a pull towards the parameters that a round begins with, beside `learning.proximal_mu`."""
        return 0.0

    @property
    def own_pull(self) -> "float | None":
        """With a whole model that every device trains for itself beside the shared one: the strength of its pull towards that one. What the device
        remembers are that model's parameters [params], zeros while it has none. None: devices have no such models."""
        return None

    def check(self, learning: "LearningConfig", personal: int) -> None:
        """Raises `ConfigError` if the rest of [learning] does not go with it, or that a model has so many personal parameters."""

    def moves(self, step: int) -> tuple[bool, bool]:
        """Whether a round's local step (from 0) moves the shared parameters, and the personal ones."""
        return True, True

    def kept(self, parameters: int) -> int:
        """Numbers that a device with a model of so many shared parameters remembers from round to round."""
        return 0

    def linear(self, kept: "torch.Tensor", sent: "torch.Tensor | None") -> "torch.Tensor":
        """[clients, params] added to the gradient of each of a round's steps, if it `steers`."""
        raise NotImplementedError(f"{self.name} steers no gradient")

    def remembered(
        self, kept: "torch.Tensor", delta: "torch.Tensor", sent: "torch.Tensor | None", learning: "LearningConfig"
    ) -> "torch.Tensor":
        """`kept` after a round in which the clients' parameters moved by `delta` [clients, params]: as trained, before anything is clipped."""
        return kept

    def begin(self, parameters: "NDArray[np.float32]") -> "dict[str, NDArray[np.float32]]":
        """The server's memory before the first round; it lasts for all periods, as what devices remember does."""
        return {}

    def sent(self, memory: "Mapping[str, NDArray[np.float32]]") -> "NDArray[np.float32] | None":
        """[params] what the server sends beside the model, if it `sends`."""
        return None

    def combined(
        self,
        memory: "Mapping[str, NDArray[np.float32]]",
        mean_delta: "NDArray[np.float32]",
        share: float,
        learning: "LearningConfig",
    ) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]":
        """(the update that the server's optimizer applies, memory) of a round's released mean; `share` of all devices took part in it."""
        return mean_delta, dict(memory)


class Compression(Method):
    """What an update becomes on its way to the server, after it was released."""

    feedback: bool = True
    """Whether a device remembers what it could not send and adds it to its next update: some state of the update's size on each device."""

    @abstractmethod
    def open(self, blocks: "Sequence[Stretch]") -> "Codec":
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


class Baseline(Method):
    """A reference recommender: fitted at once to what was there before a measurement, without rounds, devices or privacy."""

    reads: ClassVar[str]
    """Whose events it reads: `everybody`'s in one place, or less; two or three words for a table."""

    def unfit(self, past: "Past") -> str | None:
        """Why it cannot be fitted to this data, in one line; None: it can."""
        return None

    @abstractmethod
    def fit(self, past: "Past") -> "Scorer":
        """What scores the catalogue for cases measured after `past`; deterministic, and nothing later is read. Raises `DataError` with what `unfit`
        says."""


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


class FederatedBaseline(Method):
    """A published federated recommender with a model, a local update and an aggregation of its own, to compare with. It has no privacy guarantee.

    Every client takes part in every round. Nothing here loops over clients: they come in blocks, with a row each.
    """

    paper: ClassVar[str]
    """Where it was published."""
    own_items: ClassVar[bool] = False
    """Whether the paper scores with each client's own item embedding, as trained in the round and not averaged; else with the server's."""
    dim: PositiveInt = 32
    """Width of the item embedding."""
    negatives: PositiveInt = 4
    """Items drawn for each positive, anew in each round."""
    batch: PositiveInt = 256
    """Examples of one client in a local step."""
    local_epochs: PositiveInt = 1
    """How often a client goes through its examples in a round."""
    held_out_negatives: bool = True
    """Whether what is held out for evaluation may be drawn as a negative, as on a real device, which does not know the future. `false`, as in the
    authors' code, spares it, and so tells the model of it: for figures to compare with theirs only."""

    @abstractmethod
    def initial(self, users: int, items: int, seed: int) -> "State":
        """Before the first round."""

    @abstractmethod
    def train(self, state: "State", block: "Block") -> "Clients":
        """The block's clients after their local training."""

    @abstractmethod
    def aggregate(self, state: "State", clients: "Clients", participants: "torch.Tensor") -> "State":
        """The state after a round, from all clients [users]; `participants`: who of them has trained."""

    @abstractmethod
    def logits(self, own: "Mapping[str, torch.Tensor]", items: "torch.Tensor") -> "torch.Tensor":
        """[clients, n] from the clients' parameters `own` [clients, ...] and item embeddings [clients, n, dim]."""

    def received(self, state: "State", clients: "Clients", examples: "Iterable[Block]") -> "Mapping[str, torch.Tensor]":
        """The parameters [users, ...] that clients score with once they have received `state`, the result of the round that left them so.

        `examples`: those of that round once more, for a method that fits something to what is received.
        """
        users = len(clients.start)
        shared = {
            name: values.expand(users, *values.shape) for name, values in state.shared.items() if name in clients.own
        }
        return {name: values for name, values in state.personal.items() if name in clients.own} | shared

    def traffic(self, state: "State") -> tuple[int, int]:
        """Bytes that one client sends and receives in a round; the papers send every shared parameter both ways."""
        size = 4 * sum(values.numel() for values in state.shared.values())
        return size, size


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
        "catalogue": "everbloom.data.sources.catalogue:CatalogueAlone",
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

AGGREGATION_RULES: Registry[AggregationRule] = Registry(
    "aggregation rule",
    AggregationRule,  # type: ignore[type-abstract]
    {
        "mean": "everbloom.aggregation.mean:Mean",
        "median": "everbloom.aggregation.median:Median",
        "trimmed-mean": "everbloom.aggregation.trimmed_mean:TrimmedMean",
        "multi-krum": "everbloom.aggregation.multi_krum:MultiKrum",
        "centred-clipping": "everbloom.aggregation.centred_clipping:CentredClipping",
        "norm-clipping": "everbloom.aggregation.norm_clipping:NormClipping",
    },
)

ALGORITHMS: Registry[FederatedAlgorithm] = Registry(
    "federated algorithm",
    FederatedAlgorithm,
    {
        "feddyn": "everbloom.algorithms.feddyn:FedDyn",
        "scaffold": "everbloom.algorithms.scaffold:Scaffold",
        "fedrep": "everbloom.algorithms.fedrep:FedRep",
        "ditto": "everbloom.algorithms.ditto:Ditto",
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

BASELINES: Registry[Baseline] = Registry(
    "baseline",
    Baseline,  # type: ignore[type-abstract]
    {
        "popularity": "everbloom.evaluation.baselines.popularity:PopularityBaseline",
        "recent-popularity": "everbloom.evaluation.baselines.recent_popularity:RecentPopularityBaseline",
        "item-text-knn": "everbloom.evaluation.baselines.item_text_knn:ItemTextKnnBaseline",
        "markov": "everbloom.evaluation.baselines.markov:MarkovBaseline",
        "item-knn": "everbloom.evaluation.baselines.item_knn:ItemKnnBaseline",
        "ease": "everbloom.evaluation.baselines.ease:EaseBaseline",
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

FEDERATED_BASELINES: Registry[FederatedBaseline] = Registry(
    "federated baseline",
    FederatedBaseline,  # type: ignore[type-abstract]
    {
        "fedmf": "everbloom.federated_baselines.fedmf:FedMF",
        "fedncf": "everbloom.federated_baselines.fedncf:FedNCF",
        "fedrecon": "everbloom.federated_baselines.fedrecon:FedRecon",
        "pfedrec": "everbloom.federated_baselines.pfedrec:PFedRec",
        "gpfedrec": "everbloom.federated_baselines.gpfedrec:GPFedRec",
    },
)
