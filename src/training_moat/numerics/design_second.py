"""The larger low-precision experiment again on another network and another text: fixed before it was run.

The larger form (`design_larger`) decides the claim on low precision, and it is one network, one text and three seeds.
This form asks the same questions where a tie to number formats could hide from it. Recipes, steps, tokens a step, the
grid's offsets, the pilot's rates, margins, hypotheses and what judges them (`analysis_larger`) are the same objects, not
copies. FP8 on the real matrix units is an arm again. What differs:

network    GPT-2's: LayerNorm, which subtracts the mean and has a bias, where the first has RMSNorm; GELU between two
           matrices where the first has the gated SwiGLU; a bias on every linear layer, added after the product is
           rounded; one table for embedding and output layer, which so takes gradients from both ends. Four layers of
           width 384, seven million parameters: narrower than the first, so that more seeds fit into the same seconds
text       two English novels of the nineteenth century where the first reads program code, byte by byte, every tenth
           chapter held out; pinned below by its hash
seeds      new ones, for pilot and judged runs

Hypotheses H1, H2, H3, H6, H7 and H8 as in `design_larger`, with the margins that this pilot gives by the same rule, and
the same rule of what counts: seeds one after the other until the time is used up, whole seeds alone, in the order
below, all of them. Nothing is run again except when the program itself failed or its time ended before three seeds were
whole; then the rows of that call are thrown away unread. A hypothesis is replicated when it is supported on both
networks, fails to replicate when it is supported on one and contradicted on the other, and is not settled otherwise.

What the result does to the verdict on low precision (claim C29, and the argument's line on the first page). The
deciding quantity becomes the larger of the two networks' worst pairs, each over its own yardstick. Its range takes in,
for all three experiments, the lower end of the worst pair's interval and the highest upper end of any pair, and the
straight lines, in the logarithm of the parameters, from the small experiment through each of the two to 175 billion.
Thresholds, weights and all other tests stay. The value can only rise by this and the range only widen, so that the
grade can only stay what the first network made it (strongly against) or become softer:
- larger worst pair below 0.667 and the whole range, both lines included, below 1: strongly against, as before;
- larger worst pair below 1 and the range below 1.5, but not as above: leans against;
- larger worst pair below 1 with a range that reaches 1.5 or more: mixed;
- larger worst pair at 1 or above: mixed, for the range of the first network reaches below 0.667.
A recipe that loses a run at any rate of the grid, on either network, has no parabola: then the claim is open, unless
the pairs that are left on either show one at 1 or above. With fewer than three whole seeds this form counts for
nothing, and the claim rests on the first network alone, which the chapter then says. H1, H3, H6, H7 and H8 do not enter
the grade; the chapter shows them all, with both networks side by side.

Expected beforehand, so that it can be held against us: H1, H2, H6 and H8 supported; H3 and H7 supported or open; a
yardstick between 0.03 and 0.2 nats; the worst pair below a fifth of it; no run lost but those of the constant that does
not saturate; four seeds whole in 400 seconds on an H100, five if the smaller network is as much faster as its numbers
are fewer. Where a difference could come from: a mean that is subtracted cancels digits, and activations behind GELU reach
far to one side of zero only, where SwiGLU's reach to both; sums of one sign are those that short additions cut most.

History. Run once, on 27 November 2026: one NVIDIA H200 under PyTorch 2.11.0, 400 seconds allowed, pilot and three seeds whole,
no time for a fourth. Everything above is as it was stored before. Found: a yardstick of 0.162 nats, all six hypotheses
supported, a worst pair of 0.0068 of the yardstick; three seeds where four were expected.
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.numerics.design import Shape
from training_moat.numerics.design_larger import LARGER, SMALL, LargerDesign


@dataclass(frozen=True)
class Gpt2Shape(Shape):
    """Sizes of a network like GPT-2: biases everywhere, two matrices in the feed-forward layer, a tied output layer."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Parameter tensors by name."""
        width, ffn = self.width, self.ffn
        matrices = {"qkv": (width, 3 * width), "out": (width, width), "up": (width, ffn), "down": (ffn, width)}  # fmt: skip
        shapes: dict[str, tuple[int, ...]] = {
            "tokens": (self.vocab, width),
            "positions": (self.context, width),
        }
        for layer in range(self.layers):
            for name in ("norm1", "norm2"):
                shapes[f"{layer}.{name}"] = shapes[f"{layer}.{name}.bias"] = (width,)
            for name, size in matrices.items():
                shapes[f"{layer}.{name}"], shapes[f"{layer}.{name}.bias"] = size, size[1:]
        return {**shapes, "norm": (width,), "norm.bias": (width,)}


@dataclass(frozen=True)
class Experiment:
    """One form of the experiment on a GPU: its table, what it runs, its small form, the text, and its name for readers."""

    table: str
    design: LargerDesign
    small: LargerDesign
    text: str
    network: str


SECOND = LargerDesign(
    shape=Gpt2Shape(vocab=256, context=128, width=384, heads=6, layers=4, ffn=1536),
    pilot_seeds=(921, 922),
    seeds=(601, 602, 603, 604, 605, 606, 607, 608),
)
SECOND_SMALL = LargerDesign(
    shape=Gpt2Shape(vocab=256, context=32, width=64, heads=4, layers=1, ffn=96),
    sequences=SMALL.sequences,
    steps=SMALL.steps,
    pilot_seeds=SECOND.pilot_seeds,
    seeds=SMALL.seeds,
)

NOVELS_SHA256 = "0e2ac91a904d2eec70c6897b1b6379e41b112494bd9312c2b52b5353cb48ec93"
"""Of the text that `experiments/low_precision/novels.txt.bz2` unpacks to."""

EXPERIMENTS = {
    "first": Experiment("experiment_low_precision_larger", LARGER, SMALL, "library", "like Llama"),
    "second": Experiment(
        "experiment_low_precision_second", SECOND, SECOND_SMALL, "novels", "like GPT-2"
    ),
}
"""The forms that run on a GPU, by name."""
