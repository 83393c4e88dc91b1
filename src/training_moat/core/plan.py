"""How a training run is laid out over chips: the parallel sizes, the batch, and what is recomputed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from training_moat.core.adapters import ALL_ADAPTED, lora_params
from training_moat.core.elementwise import Number, ceil, maximum, minimum, some, where
from training_moat.core.workload import Transformer

RECOMPUTE_LEVELS = {"none": 0, "selective": 1, "full": 2}
"""Activation recomputation: nothing; single modules; whole layers. Which modules: the attention core (Korthikanti et al.
2022) or, where fused attention keeps nothing there, norms, activation functions and latent attention's up-projections
(DeepSeek-AI 2024, section 3.2.3; Megatron-Core's `recompute_modules`)."""

STOPS_EARLY = {"never": 0, "return": 1, "product": 2}
"""What a layer that is recomputed leaves out, as its backward pass needs nothing of it: nothing; what brings the experts'
results back to their tokens; its last product as well. PyTorch's non-reentrant checkpoints end as soon as all is there that
the backward pass asked to keep (torch.utils.checkpoint, set_checkpoint_early_stop), compilers drop what nobody reads; a
product that keeps its operands only once it is done (a custom function, as in Transformer Engine) is done again."""

OFFLOAD_LEVELS = {"none": 0, "optimizer": 1, "all": 2}
"""What lives in the host's memory instead of the chip's: nothing; the optimizer's states and step (Ren et al. 2021,
ZeRO-Offload); weights and gradients too, fetched layer by layer (Rajbhandari et al. 2021, ZeRO-Infinity)."""

ACTIVATION_OFFLOAD_LEVELS = {"none": 0, "outputs": 1, "all": 2}
"""What of the activations that layers keep waits in the host's memory for the backward pass: nothing; what their products
gave, their inputs not (AXLearn's `offload_dots_saveable`, MaxText's `qkv_proj_offloaded`); all of it (torchtune's
`enable_activation_offloading`; MaxText's `decoder_layer_input: offload`)."""


GRAPH_LEVELS = {"none": 0, "partial": 1, "whole": 2, "compiled": 3}
"""What of a layer runs without its host's launches: nothing; modules that a CUDA graph plays back, such as attention, a
dense block, the router and what prepares the dispatch, the experts not (Megatron-Core's `cuda_graph_modules`); whole layers
or steps by graphs; the whole step as one program, whose compiler arranges its exchanges as well."""

STREAM_BYTES = 2.0
"""A value that passes between layers and between chips: 16 bits, unless products take wider ones."""


def fills_unequally(ep: Number, uneven_routing: Number, expert_capacity: Number) -> Number:
    """Whether the router fills chips unequally: experts are spread over several, and nothing makes their shares equal."""
    return (ep > 1) & (uneven_routing > 0) & (expert_capacity <= 0)


@dataclass(frozen=True)
class Plan:
    """One layout of a training run. Every field may be an array of the same length."""

    seq_len: Number
    global_batch: Number
    """Sequences per step."""
    micro_batch: Number = 1
    """Sequences that one replica holds at once."""
    tp: Number = 1
    """Tensor-parallel size; `pp`, `dp`, `cp` and `ep` are those of pipeline, data, context and experts."""
    pp: Number = 1
    dp: Number = 1
    cp: Number = 1
    ep: Number = 1
    """Expert groups lie inside tp x cp x dp."""
    virtual_stages: Number = 1
    """Above one interleaves the pipeline."""
    zero_stage: Number = 1
    sequence_parallel: Number = 0
    """0 or 1."""
    recompute: Number = 0
    """A level of `RECOMPUTE_LEVELS`."""
    recompute_share: Number = 1.0
    """Under full recomputation the share of the layers that are recomputed (NeMo's `recompute_num_layers`); where
    `outputs_kept` says what is kept, the share of the work that is left to do again."""
    flash_attention: Number = 1
    """0 or 1."""
    expert_tp: Number = 0
    """Chips over which every expert is cut (0: Megatron-Core's default, see `expert_tensor`)."""
    gradient_bytes: Number = 2.0
    """What a weight's gradient takes on the wire."""
    gathered_bytes: Number = 2.0
    """What a weight of a layer that replicas gather takes there."""
    dispatch_bytes: Number = 2.0
    """What a routed token's value takes on its way to the experts."""
    dispatch_once: Number = 1
    """1 where a token goes once to a chip, or a domain, that holds several of its experts, 0 where every copy goes."""
    permutes_in_flight: Number = 0
    """1 where a token is put into the experts' order on its way."""
    overlapped_exchange: Number = 0
    """1 where the exchange of one micro-batch runs beside the computing of another (Megatron-Core's combined 1F1B)."""
    uneven_routing: Number = 0
    """1 where nothing but the router decides how many tokens an expert gets, 0 where all get about as many: forced to, what
    is beyond a share being dropped, or as training has made the router even (DeepSeek-AI 2024, section 2.1.2)."""
    expert_capacity: Number = 0
    """Above zero pads every expert's tokens to that many times its equal share and drops what is beyond (Fedus et al. 2022,
    section 2.2)."""
    one_hot_dispatch: Number = 0
    """1 where tokens are put to their experts and back by products with one-hot masks (Lepikhin et al. 2020, algorithm 2)."""
    graphs: Number = 0
    """A level of `GRAPH_LEVELS`."""
    lora_rank: Number = 0
    """Above zero trains adapters of that rank alone, beside frozen weights."""
    lora_targets: Number = ALL_ADAPTED
    """Products that adapters are on: a set of `adapters.ADAPTED`."""
    inputs_kept: Number = ALL_ADAPTED
    """Products whose inputs are kept for the backward pass beside adapters: as a rule those of `lora_targets`."""
    adapter_bytes: Number = 0
    """Above zero adapters' operations run one by one, and this is what a value that goes into one is cast to (0: fused)."""
    base_bytes: Number = 2.0
    """What each frozen weight of a layer takes beside adapters (QLoRA: Dettmers et al. 2023)."""
    offload: Number = 0
    """A level of `OFFLOAD_LEVELS`."""
    paged: Number = 0
    """1 where offloaded optimizer states come to the chip to be stepped and go back, 0 where the host steps them."""
    streamed: Number = 0
    """1 where weights, gradients and optimizer states live in one store outside all chips, which sends every chip the layer
    at work and steps the optimizer itself; such chips are replicas of one another alone."""
    activation_offload: Number = 0
    """A level of `ACTIVATION_OFFLOAD_LEVELS`."""
    activation_offload_share: Number = 1.0
    """Share of the layers for which that is so (Megatron-Core's `cpu_offloading_num_layers`)."""
    attention_kept: Number = 0
    """1 where recomputed layers keep what their fused attention gave, which is then not done again (`context` of MaxText's
    policies, whose kernel keeps its logarithms of sums with it)."""
    outputs_kept: Number = 0
    """Values a token that recomputed layers keep where these are the outputs of some products."""
    stops_early: Number = 0
    """A level of `STOPS_EARLY`."""
    orthogonal: Number = 0
    """1 where the optimizer makes every matrix's step orthogonal (Muon, see `orthogonal_steps`)."""
    factored: Number = 0
    """1 where the optimizer is Adafactor as PyTorch runs it, operation by operation (`FACTORED_VALUES`)."""
    gathers_again: Number = 1
    """1 where, under sequence parallelism, a product's input is gathered again for its weights' gradient, as each chip keeps
    its own part alone (Korthikanti et al. 2022, section 4.2.2), 0 where the gathered one is kept."""
    scatters_every: Number = 0
    """1 where ZeRO-2 scatters the gradients after every micro-batch, 0 where they add up and are reduced once a step."""
    written_out_bytes: Number = 0
    """Above zero an activation function that its code writes out (`Transformer.tanh_gelu`) runs operation by operation, and
    this is what a value takes in between: 16 bits, under autocast 32, as its power is among what PyTorch computes in FP32
    there. 0: one kernel."""
    shard_group: Number = 0
    """Above zero ZeRO shares what its stage shares out among so many replicas alone, and groups of them hold the same (hybrid
    sharding: Zhao et al. 2023, PyTorch FSDP, section 3.2.2; of the optimizer's states alone Megatron-Core's
    `num_distributed_optimizer_instances` and InternEvo's `zero1`); 0: among all."""
    stream_bytes: Number = STREAM_BYTES
    """What a value between products takes: 16 bits, where products are in FP32 or TF32 and nothing casts it (PyTorch, CUDA
    semantics: TF32 keeps operands and results in FP32) 32."""

    @cached_property
    def expert_tensor(self) -> Number:
        """Chips that share every expert: `expert_tp`, else Megatron-Core's default, the tensor-parallel size
        (`expert_tensor_parallel_size`), where that divides; groups of at least as many experts leave them whole."""
        groups = self.expert_groups
        cut = (groups < self.tp) & (self.stage_chips % (groups * self.tp) == 0)
        return where(self.expert_tp > 0, self.expert_tp, where(cut, self.tp, 1))

    @property
    def chips(self) -> Number:
        """Chips the plan occupies."""
        return self.tp * self.pp * self.dp * self.cp

    @property
    def stage_chips(self) -> Number:
        """Chips of one pipeline stage."""
        return self.tp * self.cp * self.dp

    @property
    def replicas(self) -> Number:
        """Chips that have the same part of every dense layer to themselves, unless ZeRO shares it out among them."""
        return self.dp * self.cp

    @property
    def sharing_replicas(self) -> Number:
        """Replicas among which ZeRO shares out what each would hold: all, or those of one `shard_group`."""
        hybrid = (self.shard_group > 0) & (self.zero_stage >= 1)
        return where(hybrid, minimum(self.shard_group, self.replicas), self.replicas)

    @property
    def expert_groups(self) -> Number:
        """Groups of chips over which the experts of a layer are spread."""
        return maximum(self.ep, 1)

    @property
    def expert_chips(self) -> Number:
        """Chips of one stage that share one set of experts."""
        return self.expert_groups * self.expert_tensor

    @property
    def stream_chips(self) -> Number:
        """Chips that share every value between layers out: the tensor-parallel ones where sequences are parallel too."""
        return where(self.sequence_parallel > 0, self.tp, 1)

    @property
    def micro_batches(self) -> Number:
        """Micro-batches one replica works through per step."""
        return self.global_batch / (self.dp * self.micro_batch)

    @property
    def micro_tokens(self) -> Number:
        """Tokens of one micro-batch that pass through one chip's layers."""
        return self.micro_batch * self.seq_len / self.cp

    @property
    def tokens_per_step(self) -> Number:
        """Tokens trained on per optimizer step."""
        return self.global_batch * self.seq_len

    @property
    def recomputed_layers(self) -> Number:
        """Share of the layers whose whole forward pass is done again."""
        return where(self.recompute >= 2, self.recompute_share, 0.0)

    @property
    def rings(self) -> Number:
        """Whether context parallelism hands keys and values round in a ring, while attention works on those that came before
        (Liu et al. 2023, section 3; Transformer Engine): programs that a compiler makes of a whole step gather them first
        (MaxText, `context_parallel_strategy`), and keep them for the backward pass."""
        return self.graphs < GRAPH_LEVELS["compiled"]

    @property
    def gathers_every(self) -> Number:
        """Whether replicas gather the weights anew for every micro-batch, as ZeRO-3 does but in a pipeline, whose stages keep
        them, and their gradients, from the first micro-batch to the last (PyTorch, pipelining/stage.py: neither resharding
        nor reduction before the last backward pass)."""
        return (self.zero_stage >= 3) & (self.pp <= 1)

    @property
    def reduces_every(self) -> Number:
        """Whether replicas exchange gradients for every micro-batch."""
        scattered = (self.scatters_every > 0) & (self.zero_stage == 2)
        return self.gathers_every | (scattered & (self.pp <= 1))

    @property
    def padded_copies(self) -> Number:
        """Rows that experts work on over the copies of tokens routed to them: the capacity where they are padded to one."""
        return where(self.expert_capacity > 0, self.expert_capacity, 1.0)

    @property
    def routed(self) -> Number:
        """Whether the router fills chips unequally (`fills_unequally`)."""
        return fills_unequally(self.ep, self.uneven_routing, self.expert_capacity)

    @property
    def alone(self) -> Number:
        """Whether one chip does it all."""
        return self.chips <= 1

    @property
    def unreturned_layers(self) -> Number:
        """Share of the layers that are done again but for the way of the experts' results back to their tokens."""
        return where(self.stops_early >= STOPS_EARLY["return"], self.recomputed_layers, 0.0)

    @property
    def unreturned_copies(self) -> Number:
        """The same of layers whose results need not come back: a product with a mask needs them, for the mask's gradient."""
        return where(self.one_hot_dispatch > 0, 0.0, self.unreturned_layers)

    @property
    def unfinished_layers(self) -> Number:
        """Share of the layers that are done again but for their last product."""
        return where(self.stops_early >= STOPS_EARLY["product"], self.recomputed_layers, 0.0)


def _divides(divisor: Number, total: Number) -> Number:
    return total % divisor == 0


def layers_fit_pipeline(model: Transformer, plan: Plan) -> Number:
    """Whether every stage and virtual stage gets a layer, or the embedding or the output head in place of one (Llama 3
    405B: 126 + 2 over 16 x 8). They need not get equally many (`stage_layers`)."""
    stages = plan.pp * plan.virtual_stages
    return (stages <= model.layers) | (stages == model.layers + 2)


def stage_layers(model: Transformer, plan: Plan) -> Number:
    """Layers on the fullest pipeline stage: each of its virtual stages rounds its share up (61 layers on 16 stages: 4, the last
    of them fewer). Where that would leave some without a layer, all have the share rounded down, and stages divide what is
    left (61 layers on 8 x 7: 8 on the fullest)."""
    places = plan.pp * plan.virtual_stages
    share = ceil(model.layers / places - 1e-9)
    each = model.layers // places
    divided = plan.virtual_stages * each + ceil((model.layers - places * each) / plan.pp - 1e-9)
    return where(share * (places - 1) < model.layers, plan.virtual_stages * share, divided)


def layers_split_evenly(model: Transformer, plan: Plan) -> Number:
    """Whether the layers split over the pipeline as stacks do it unasked: evenly by stages and virtual stages or, with
    the embedding and the output head counted as a layer each, over an even number of stages (BLOOM: 70 + 2 layers over
    12, Scao et al. 2022, section 3.4.2; Llama 3 405B: 126 + 2 over 16, Dubey et al. 2024, section 3.3.2)."""
    stages = plan.pp * plan.virtual_stages
    even = _divides(stages, model.layers)
    padded = _divides(stages, model.layers + 2) & _divides(2, plan.pp)
    by_hand = (model.dense_layers > 0) & (model.experts > 0) & (stages <= model.layers)
    return even | padded | by_hand


def impossible(model: Transformer, plan: Plan) -> list[tuple[Number, str]]:
    """Every rule a plan can break: (where it is broken, what it says). Conditions may be arrays."""
    return [
        (
            where(layers_fit_pipeline(model, plan), False, True),
            "pp x virtual_stages is above the number of layers",
        ),
        (
            (plan.streamed > 0) & (plan.tp * plan.pp * plan.cp * plan.expert_groups > 1),
            "chips that stream their weights share the batch alone: tp, pp, cp and ep must be 1",
        ),
        (
            (plan.streamed > 0) & (plan.expert_tensor > 1),
            "chips that stream their weights cut no experts: expert_tp must be 1",
        ),
        (model.heads % plan.tp != 0, "the attention heads do not divide over tp"),
        (
            plan.global_batch < plan.dp * plan.micro_batch,
            "global_batch is too small for dp x micro_batch",
        ),
        (
            plan.global_batch % (plan.dp * plan.micro_batch) != 0,
            "global_batch is not a multiple of dp x micro_batch",
        ),
        (plan.seq_len % plan.cp != 0, "seq_len is not a multiple of cp"),
        (plan.lora_rank > model.hidden, "lora_rank is above the model's hidden size"),
        *_broken_by_adapters(model, plan),
        *_broken_by_groups(plan),
        *_broken_by_experts(model, plan),
        ((plan.virtual_stages > 1) & (plan.pp == 1), "virtual_stages above 1 needs pp above 1"),
    ]


def _broken_by_adapters(model: Transformer, plan: Plan) -> list[tuple[Number, str]]:
    if not some(plan.lora_rank):
        return []
    return [
        (
            (plan.lora_rank > 0) & (lora_params(model, 1, plan.lora_targets) <= 0),
            "lora_targets names no product of the model; experts that are routed to have no adapters",
        )
    ]


def _broken_by_groups(plan: Plan) -> list[tuple[Number, str]]:
    if not some(plan.shard_group):
        return []
    hybrid = plan.shard_group > 0
    return [
        (
            hybrid & (plan.zero_stage < 1),
            "shard_group says among how many replicas zero_stage shares out; it needs a zero_stage above 0",
        ),
        (
            hybrid & (plan.replicas % maximum(plan.shard_group, 1) != 0),
            "shard_group does not divide dp x cp",
        ),
    ]


def _broken_by_experts(model: Transformer, plan: Plan) -> list[tuple[Number, str]]:
    ranks = plan.stage_chips
    return [
        (
            (plan.ep > 1) & (0 * plan.ep + model.experts == 0),
            "ep above 1 needs a model with experts",
        ),
        ((plan.ep > 1) & (model.experts % plan.ep != 0), "the experts do not divide over ep"),
        ((plan.ep > 1) & (ranks % plan.ep != 0), "ep does not divide tp x cp x dp"),
        (
            (model.experts > 0) & (ranks % plan.expert_chips != 0),
            "ep x expert_tp does not divide tp x cp x dp",
        ),
        (
            (plan.expert_tp > 1) & (0 * plan.expert_tp + model.experts == 0),
            "expert_tp above 1 needs a model with experts",
        ),
    ]
