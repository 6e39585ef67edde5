"""A bar chart as SVG: how many times faster than each peer, per shape."""

from math import log10

PEERS = {  # contender: (legend, colour, statistic)
    "torch_eager": ("libtorch eager (its best run)", "#c44e52", "minimum"),
    "torch_analytic": ("libtorch, gradient by hand", "#dd8452", "median"),
    "xtensor": ("xtensor", "#8172b3", "median"),
    "eigen": ("Eigen", "#937860", "median"),
    "onednn_chain": ("three oneDNN primitives", "#4c72b0", "median"),
    "onednn_softmax": ("one oneDNN softmax", "#64b5cd", "median"),
}
LEFT, TOP, HEIGHT, BAR, GAP = 50, 60, 260, 16, 24
LARGEST = 100


def _y(ratio):
    return TOP + HEIGHT * (1 - log10(max(ratio, 1)) / log10(LARGEST))


def _text(x, y, content, size=11, anchor="middle"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}">{content}</text>'


def _bar(x, ratio, colour):
    y = _y(ratio)
    return [f'<rect x="{x}" y="{y:.1f}" width="{BAR - 2}" height="{TOP + HEIGHT - y:.1f}" fill="{colour}"/>',
            _text(x + BAR / 2 - 1, y - 3, f"{ratio:.2g}", 8)]


def _axis(width):
    for tick in (1, 2, 5, 10, 20, 50, 100):
        yield f'<line x1="{LEFT}" x2="{width}" y1="{_y(tick):.1f}" y2="{_y(tick):.1f}" stroke="#ddd"/>'
        yield _text(LEFT - 6, _y(tick) + 4, f"{tick}x", anchor="end")


def _legend(width):
    for i, (legend, colour, _) in enumerate(PEERS.values()):
        x, y = LEFT + (i % 3) * (width - LEFT) / 3, TOP + HEIGHT + 40 + 18 * (i // 3)
        yield f'<rect x="{x:.0f}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
        yield _text(x + 15, y, legend, anchor="start")


def forward_kl_plot(data):
    shapes = [shape for shape in data.shapes("forward_kl") if "-" not in shape]
    group = BAR * len(PEERS) + GAP
    width = LEFT + max(group * len(shapes), 500)
    drawing = [*_axis(width), *_legend(width),
               _text(width / 2, 24, "Forward KL, value and gradient, one thread: times faster than", 15)]
    for i, shape in enumerate(shapes):
        left = LEFT + GAP // 2 + i * group
        drawing.append(_text(left + BAR * len(PEERS) / 2, TOP + HEIGHT + 16, shape))
        for k, (name, (_, colour, statistic)) in enumerate(PEERS.items()):
            ratio = data.ratio("forward_kl", shape, (name, 1), ("distill", 1), statistic)
            if ratio is not None:
                drawing += _bar(left + k * BAR, ratio, colour)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 10}" height="{TOP + HEIGHT + 80}" '
        'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>', *drawing, "</svg>\n"])
