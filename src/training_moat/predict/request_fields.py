"""The fields of a request, and what each says. This module imports nothing, so that help is quick."""

from __future__ import annotations

COMMON = {
    "id": "anything; the answer repeats it",
    "model": "a name from `moat models`, or an object: layers, hidden, heads, kv_heads, head_dim, ffn, vocab, ..., params_b",
    "chip": 'an id from `moat chips`, or an object of that table\'s columns; {"base": ID, ...} changes some',
    "chips": "how many; left out: all of the machine that chip names",
    "tp": "tensor-parallel size; left out, as all of a layout: the fastest that fits",
    "pp": "pipeline stages",
    "dp": "data-parallel size",
    "ep": "chips over which experts are spread",
    "cp": "context-parallel size",
    "precision": "format of the products: bf16, fp16, fp8, mxfp8, nvfp4, mxfp4, int8, ...",
    "software": "the stack or engine; left out: the best known for the chip",
}
"""Fields that training and serving share."""

TRAINING = {
    "seq_len": "tokens a sequence",
    "global_batch": "sequences a step",
    "micro_batch": "sequences a chip takes at once",
    "virtual_stages": "interleaved stages a chip",
    "zero_stage": "0 to 3: what replicas share out of optimizer, gradients and weights",
    "shard_group": "replicas among which zero_stage shares these out, where other groups hold the same (hybrid sharding); left out: all",
    "sequence_parallel": "true or false",
    "recompute": "none, selective or full",
    "recompute_share": "share of the layers with full recomputation, 0 to 1",
    "optimizer": "adamw, adam8bit, ...",
    "master_weights": "false: no FP32 copy of the weights",
    "flash_attention": "false: attention's scores are written out",
    "activation_offload_share": "share of the layers of which that is, 0 to 1; left out: all",
    "chunked_loss": "true: output head and loss take the tokens in chunks, so that the logits are never there as a whole; left out: as the software does",
    "narrow_gather": "true: replicas gather the weights of 8-bit runs in 8 bits, not 16; left out: as the software does",
    "expert_tp": "chips that share an expert",
    "dispatcher": "how tokens get to experts: all-to-all, deepep, hybridep or one-hot (products with masks); left out: as the software usually does on such a chip",
    "capacity_factor": "experts' tokens are padded to so many times their equal share, and dropped beyond; left out: as many as come",
    "overlapped_exchange": "true: one micro-batch's exchange between experts runs beside another's computing",
    "balanced_routing": "true: experts get equal shares of the tokens; false: the router decides; left out: as the software's published runs",
    "graphs": "what runs without the host's launches: none, partial (CUDA graphs of attention, router and what is around them, not of the experts), whole (of layers or steps) or compiled (one program); left out: as the software does. Whether PyTorch compiles its kernels is said by software: torchtitan does, pytorch-eager does not",
    "lora_rank": "train adapters of this rank alone",
    "lora_targets": "products that adapters are on: a list of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, or of attention, mlp, all-linear; left out: all dense ones",
    "base_precision": "nf4: the frozen layers beside adapters are kept in 4 bits (QLoRA); nf4-plain: without double quantization; left out: in 16",
    "offload": "to the host: none, optimizer or all",
    "activation_offload": "what layers keep for the backward pass, to the host: none, outputs (of products; layers' inputs stay) or all",
    "released": "date of the software, such as 2026-04: it chooses the version of a name, and kernels improve",
    "matmul_tflops": "what a large product reaches on your machine, in 1e12 FLOP/s",
    "anchors": "own runs: objects with the fields of a case and measured_step_s",
    "price_usd_per_chip_hour": "adds cost_usd",
    "tokens_b": "tokens of the whole run, in 1e9",
    "goodput": "share of the hours that goes into steps, 0 to 1; left out: as whole published runs",
}
"""Further fields of a training request."""

SERVING = {
    "batch": "sequences served at once",
    "input_len": "tokens of a prompt",
    "output_len": "tokens of an answer",
    "kv_precision": "format of the cached keys and values",
    "expert_tp": "chips that share an expert",
    "price_usd_per_chip_hour": "adds usd_per_m_output_tokens",
}
"""Further fields of a serving request."""

_CALLED = {
    "model": "model_name_or_path base_model model_type",
    "chip": "gpu hardware accelerator device gpu_type device_type gpu_name",
    "chips": "gpus n_gpus ngpus num_gpus gpu_count n_chips devices num_devices accelerators world_size nodes n_nodes num_nodes nnodes machines",
    "seq_len": "sequence_length context_length sequence_len max_length cutoff_len block_size ctx context context_len",
    "global_batch": "train_batch_size gbs batch_size gradient_accumulation_steps gradient_accumulation grad_accum accumulate_grad_batches",
    "micro_batch": "per_device_train_batch_size per_device_batch_size train_micro_batch_size_per_gpu local_batch_size mbs",
    "tp": "tensor_parallel tensor_parallel_size tensor_model_parallel_size tp_size tp_degree",
    "pp": "pipeline_parallel pipeline_parallel_size pipeline_model_parallel_size pp_size pp_degree",
    "dp": "data_parallel data_parallel_size dp_size dp_degree replicas",
    "ep": "expert_parallel expert_parallel_size expert_model_parallel_size ep_size ep_degree",
    "cp": "context_parallel context_parallel_size cp_size cp_degree sp sp_size sequence_parallel_size ulysses",
    "virtual_stages": "vpp vp virtual_pipeline virtual_pipeline_model_parallel_size interleave",
    "expert_tp": "etp expert_tensor_parallel_size",
    "zero_stage": "zero zero1 zero2 zero3 fsdp sharding sharding_strategy",
    "recompute": "gradient_checkpointing activation_checkpointing activation_checkpoint checkpointing remat remat_policy recompute_granularity",
    "optimizer": "optim",
    "offload": "cpu_offload offload_optimizer offload_params",
    "precision": "dtype torch_dtype mixed_precision fp8 bf16 quantization",
    "base_precision": "load_in_4bit qlora",
    "dispatcher": "moe_token_dispatcher_type token_dispatcher",
    "graphs": "cuda_graph cuda_graphs",
    "software": "framework engine stack library backend compile torch_compile compiled eager version",
    "released": "date year",
    "lora_targets": "target_modules lora_target_modules",
    "shard_group": "data_parallel_shard_degree dp_shard hsdp",
    "input_len": "prompt_tokens input_tokens seq_len isl prompt_len prompt_length random_input_len",
    "output_len": "output_tokens osl max_tokens max_new_tokens answer_len random_output_len",
    "batch": "concurrency users global_batch batch_size concurrent_users concurrent_requests max_concurrency max_num_seqs",
    "kv_precision": "kv_cache_dtype kv_dtype kv_cache_precision",
}  # fmt: skip
ELSEWHERE: dict[str, list[str]] = {}
for _ours, _theirs in _CALLED.items():
    for _name in _theirs.split():
        ELSEWHERE.setdefault(_name, []).append(_ours)
"""What other tools and engines call a field, where the name alone does not lead to it: the names here, first those of training."""

OF_THE_CHIP = {
    **dict.fromkeys(
        ("gpus_per_node", "chips_per_node", "gpus_per_machine", "num_gpus_per_node", "nproc_per_node"),
        "scaleup_domain_chips",
    ),
    **dict.fromkeys(("nvlink", "scaleup"), "scaleup_gb_per_s_per_direction"),
    **dict.fromkeys(
        ("network", "interconnect", "infiniband", "ethernet", "network_gbps", "nic_gbps", "scaleout"),
        "scaleout_gbit_per_s_per_chip",
    ),
    **dict.fromkeys(("memory_gb", "vram", "vram_gb", "gpu_memory"), "hbm_gb"),
}  # fmt: skip
"""What people say of a machine beside its chip: the column of a chip's object that says it."""

_WIDTHS = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "float8": "fp8",
}
_SCALED = ("delayed", "currentscaling", "cs", "sc", "tensorwise", "rowwise", "blockwise", "hybrid", "e4m3", "e4m3fn", "e5m2")  # fmt: skip
_FORMATS = {
    **_WIDTHS,
    **{f"{width}{kind}": f"fp{width}" for width in (16, 32) for kind in ("true", "mixed")},
    **{f"bf16{kind}": "bf16" for kind in ("true", "mixed")},
    **{f"{name}{kind}": "fp8" for name in ("fp8", "float8") for kind in _SCALED},
    **{f"{name}fp32": name for name in ("bf16", "fp16")},
    **dict.fromkeys(("bf16fp8", "fp8bf16"), "fp8"),
    "fp8mx": "mxfp8",
}
COPIES = {"bf16-true": False, "16-true": False, "bf16-mixed": True, "16-mixed": True}
"""Lightning's words for a format, as LitGPT takes them, that say whether an FP32 copy of the weights is kept as well."""
_OPTIMIZERS = {
    "adamw": ("adamwtorch", "pagedadamw", "pagedadamw32bit", "adamwschedulefree", "schedulefreeadamw", "adamwtorchfused", "adamwtorchxla", "adamwtorchnpufused", "adamwapexfused", "adamwhf", "fusedadamw"),
    "adam": ("fusedadam", "distributedfusedadam", "lamb"),
    "adam8bit": ("8bitadam", "8bitadamw", "adamw8bit", "adamwbnb8bit", "pagedadamw8bit", "pagedadam8bit", "adamfp8", "adamwfp8"),
    "adam4bit": ("4bitadam", "4bitadamw", "adamw4bit", "adamwtorch4bit"),
    "muon": ("muonclip",),
}  # fmt: skip
_SETTINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "recompute": {
        "full": ("true", "yes", "on", "enabled", "all", "uniform", "gradientcheckpointing", "activationcheckpointing", "checkpointing", "remat"),
        "none": ("false", "no", "off", "disabled", "without"),
        "selective": ("coreattn", "selectivecoreattn", "selectivecoreattention"),
    },
    "offload": {
        "none": ("false", "no", "off"),
        "all": ("param", "params", "parameters", "offloadparams", "weights"),
        "optimizer": ("optim", "optimizercpu", "optimizerstatescpu", "states"),
    },
    "activation_offload": {"all": ("cpu",)},
    "base_precision": {
        "nf4": ("4bit", "int4", "fp4", "bnb4bit", "nf4dq", "bnbnf4dq"),
        "nf4-plain": ("bnbnf4",),
    },
    "dispatcher": {"all-to-all": ("a2a",)},
    "optimizer": _OPTIMIZERS,
}  # fmt: skip
SAYING_NOTHING = {
    "precision": "mixed precision amp o1 o2 pure scaling scaled dynamic per tensor subchannel training recipe",
    "recompute": "activation activations gradient checkpoint checkpointing recompute recomputation recomputing remat ac layers",
    "optimizer": "fused torch pytorch apex bnb bitsandbytes distributed optimizer",
    "offload": "to states offload offloading host",
}
"""Words beside the one that counts in a field, by field: "bf16 mixed precision", "selective activation checkpointing"."""
SPELT = {
    "precision": _FORMATS,
    "kv_precision": _FORMATS,
    **{
        field: {said: word for word, spelt in words.items() for said in spelt}
        for field, words in _SETTINGS.items()
    },
}
"""What Megatron, PyTorch, torchtitan, torchtune, DeepSpeed, bitsandbytes and transformers call the words of a field, in small
letters with nothing between them. Recipes of eight-bit scaling are one format here, all but that of blocks of 32 (Megatron
Bridge's FP8-CS and FP8-SC beside FP8-MX); Megatron recomputes whole layers uniformly or its core attention alone; FSDP that
offloads parameters steps on the host as well (PyTorch, `CPUOffload`); Kimi's MuonClip keeps what Muon keeps."""
