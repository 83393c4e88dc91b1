"""What the numbers are that chapters record with their sentences, in words for pages that set two runs side by side."""

from __future__ import annotations

ANSWER = "answer"
"""Name under which a chapter's first sentence is recorded."""

WORDS = {
    ANSWER: "its answer",
    "against": "implications that the evidence is against",
    "beyond_next_share": "share of the bytes that must travel further than the next chip",
    "blind_error": "error on sources predicted before they were fitted (share)",
    "chance_larger": "chance that inference is the larger use",
    "chance_ten_times": "chance that inference is ten times training",
    "collective_error": "error of the time of large exchanges (share)",
    "compared_chips": "chips whose links are compared",
    "constant_error": "error of a constant share of peak (share)",
    "fp8_saves_share": "share of a step's time that FP8 saves",
    "fp8_speedup": "speed of FP8 over BF16 (times)",
    "growth_to_half": "growth of serving until it equals training (times)",
    "growth_to_ten_times": "growth of serving until it is ten times training (times)",
    "inference_busd": "accelerators sold for inference (billion USD)",
    "inference_share": "inference's share of AI computing",
    "lab_inference_share": "inference's share at the chosen lab",
    "large_collective_error": "error of the time of large exchanges (share)",
    "nvidia_inference_share": "Nvidia's share of MLPerf Inference entries",
    "nvidia_training_share": "Nvidia's share of MLPerf Training entries",
    "optimizer_share": "share of the training bytes that the optimizer keeps",
    "races": "audited races",
    "races_won": "audited races that other makers' chips won",
    "sales_busd": "accelerators sold (billion USD)",
    "sent_gb": "bytes that each chip sends in a step (GB)",
    "serving_chips": "chips that can hold the serving of the model",
    "serving_error": "error of the time per output token (share)",
    "serving_gb": "memory to serve the model (GB)",
    "set_aside_error": "error on sources put aside by lot (share)",
    "speed_kept_when_grown": "speed per chip that grown clusters keep (share)",
    "speed_of_endless_links": "speed reached, over that with endless links",
    "step_error": "error of the time of a step (share)",
    "step_s": "time of a training step (s)",
    "supported": "implications that the evidence supports",
    "traced_training_share": "share of all chip-hours that known training explains",
    "training_chips": "chips that can hold the training of the model",
    "training_gb": "memory to train the model (GB)",
    "tuned_elsewhere_nats": "loss added by a learning rate tuned elsewhere (nats)",
    "typical_ratio": "chips that a typical chip takes to train, over those to serve (times)",
    "undecided": "implications left undecided",
    "verdicts": "verdicts of the experiment",
    "verdicts_held": "verdicts of the experiment that a second set of seeds repeats",
    "whole_group_share": "share of the bytes that belong to exchanges of a whole group",
    "wired_chips": "chips whose links carry nine tenths of their speed",
}  # fmt: skip


def words(name: str) -> str:
    """What a recorded number is; its name, spaced, where a reader's own chapter recorded it."""
    return WORDS.get(name, name.replace("_", " "))
