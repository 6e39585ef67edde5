"""What the library promises, as ratios inside one run and as errors against the oracle."""

from dataclasses import dataclass

VOCABULARIES = ("256x32000", "64x128256", "32x151936")
IN_CACHE = ("8192x128", "1024x1000")
FEW_CLASSES = ("4096x10",)
EVERY_SHAPE = FEW_CLASSES + IN_CACHE + VOCABULARIES


@dataclass(frozen=True)
class Goal:
    task: str
    shapes: tuple
    label: str
    top: str     # the ratio is the time of `top` ...
    bottom: str  # ... over the time of `bottom`; "floor" is the faster of the memory floors
    bound: float
    at_least: bool
    threads: int = 1
    statistic: str = "median"
    error: str = ""  # instead of a ratio: this error of the library itself

    def met_by(self, ratio):
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def text(self):
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


def _forward_kl(shapes, threads, softmax, chain, eager, floor=None):
    task = "forward_kl"
    goals = [
        Goal(task, shapes, "time / one oneDNN softmax", "distill", "onednn_softmax", softmax, False, threads),
        Goal(task, shapes, "x faster than the oneDNN chain", "onednn_chain", "distill", chain, True, threads),
        Goal(task, shapes, "x faster than torch eager's best", "torch_eager", "distill", eager, True, threads,
             "minimum"),
    ]
    if floor:
        goals.append(Goal(task, shapes, "share of the memory floor", "floor", "distill", floor, True, threads))
    return goals


def _error(task, shapes, label, bound, error):
    return Goal(task, shapes, label, "", "", bound, False, error=error)


def _gate(shape, torch, partial_sort, equal):
    return [
        Goal("top_k_gate", (shape,), "x faster than libtorch", "torch", "distill", torch, True),
        Goal("top_k_gate", (shape,), "x faster than partial_sort", "partial_sort", "distill", partial_sort, True),
        Goal("top_k_gate_equal", (shape,), "x faster than libtorch", "torch", "distill", equal, True),
        Goal("top_k_gate_training", (shape,), "x faster than libtorch autograd", "torch", "distill", 10, True),
        *(Goal("top_k_gate", (shape,), f"{target}: x faster than partial_sort", "partial_sort", f"distill_{target}",
               1, True) for target in ("AVX2", "SSE4")),
    ]


GOALS = [
    *_forward_kl(FEW_CLASSES, 1, softmax=0.65, chain=7, eager=18),
    *_forward_kl(IN_CACHE, 1, softmax=0.85, chain=3.8, eager=15),
    *_forward_kl(VOCABULARIES, 1, softmax=0.65, chain=4.2, eager=18, floor=0.60),
    Goal("forward_kl", VOCABULARIES, "x faster than torch by hand", "torch_analytic", "distill", 11, True),
    *_forward_kl(VOCABULARIES, 2, softmax=0.60, chain=4.8, eager=20, floor=0.70),
    Goal("forward_kl", VOCABULARIES, "x faster than torch by hand", "torch_analytic", "distill", 14, True, 2),
    Goal("forward_kl_bfloat16", VOCABULARIES, "x faster than torch eager's best", "torch_eager", "distill", 20,
         True, 1, "minimum"),
    Goal("forward_kl_bfloat16", VOCABULARIES, "x faster than torch eager's best", "torch_eager", "distill", 22,
         True, 2, "minimum"),
    *(_error("forward_kl", EVERY_SHAPE, label, bound, error) for label, bound, error in (
        ("relative error of the value", 5e-7, "value_error"),
        ("error of the gradient", 1e-6, "output_error"),
        ("value, near-equal rows", 1e-5, "near_equal_value_error"))),
    _error("forward_kl_bfloat16", VOCABULARIES, "relative error of the value", 1e-6, "value_error"),
    Goal("value_only", VOCABULARIES, "share of the read floor", "floor", "value", 0.75, True),
    Goal("value_only", VOCABULARIES, "share of the read floor", "floor", "value", 0.90, True, 2),
    *_gate("4096x8", 40, 20, 5),
    *_gate("4096x64", 11, 8, 3),
    *_gate("4096x128", 17, 11, 3),
    *_gate("4096x256", 25, 13, 3),
    Goal("deepseek_gate", ("4096x256",), "x faster than libtorch", "torch", "distill", 25, True),
    Goal("deepseek_gate", ("4096x256",), "x faster than partial_sort", "partial_sort", "distill", 8, True),
    *(Goal("hidden_states", ("16384x768", "8192x1024"), f"{name}: share of the memory floor", "floor", name, 0.80, True)
      for name in ("hidden_mse", "hidden_huber", "hidden_cosine", "normalized_mse")),
    *(Goal("relations", ("512x768", "1024x1024"), f"{name}: time / its products", name, "products", 1.3, False)
      for name in ("rkd_distance", "similarity_preserving", "linear_cka")),
    Goal("attention_maps", ("49152x512",), "x faster than torch eager's best", "torch_eager", "distill", 12, True, 1,
         "minimum"),
    Goal("attention_products", ("49152x128", "24576x128"), "x faster than torch with the map", "torch_eager", "distill",
         1, True),
    Goal("dispatch", IN_CACHE, "AVX2: share of AVX-512", "AVX3", "AVX2", 0.60, True),
]
