"""Writes golden.txt: the closed forms that PyTorch documents for its learning-rate schedulers, with 50 digits.

    python3 golden.py > golden.txt        (mpmath 1.3.0, Python 3.11)

Lines: kind, its numbers, the step, the value. Formulas (t the step, T the steps):
  constant     a
  linear       LinearLR: a + (b - a) min(t, T) / T, with b and a as start and end factors
  cosine       CosineAnnealingLR: b + (a - b) (1 + cos(pi t / T)) / 2 for t <= T, then b
  oscillating  the same formula for every t
  restarts     CosineAnnealingWarmRestarts: b + (a - b) (1 + cos(pi t_cur / T_i)) / 2, T_i = T_0 m^i
  exponential  ExponentialLR: a g^(t / every)
  staircase    StepLR: a g^floor(t / every)
  polynomial   PolynomialLR: b + (a - b) (1 - min(t, T) / T)^p
  warm_cosine  LinearLR then CosineAnnealingLR: c + (a - c) t / W for t < W, then cosine at t - W
"""
from mpmath import mp, mpf, cos, floor, pi, nstr

mp.dps = 50


def cosine(a, b, T, t):
    return b + (a - b) * (1 + cos(pi * t / T)) / 2


def restarts(a, b, T, m, t):
    while t >= T:
        t, T = t - T, T * m
    return cosine(a, b, T, t)


def line(kind, numbers, t, value):
    print(kind, *[repr(float(x)) for x in numbers], t, nstr(value, 25))


for t in [0, 1, 7, 499, 500, 501, 993, 999, 1000, 1001, 2500]:
    a, b, T = mpf("5"), mpf("1"), 1000
    line("constant", [a, b], t, a)
    line("linear", [a, b, T], t, a + (b - a) * min(t, T) / mpf(T))
    line("cosine", [a, b, T], t, cosine(a, b, T, min(t, T)))
    line("oscillating", [a, b, T], t, cosine(a, b, T, t))
    line("restarts", [a, b, 100, 1], t, restarts(a, b, mpf(100), 1, mpf(t)))
    line("restarts", [a, b, 100, 2], t, restarts(a, b, mpf(100), 2, mpf(t)))
    line("exponential", [a, mpf(0.875), 10], t, a * mpf(0.875) ** (mpf(t) / 10))
    line("staircase", [a, mpf(0.875), 10], t, a * mpf(0.875) ** floor(mpf(t) / 10))
    line("polynomial", [a, b, T, 2], t, b + (a - b) * (1 - min(t, T) / mpf(T)) ** 2)
    line("polynomial", [a, b, T, mpf(0.5)], t, b + (a - b) * mp.sqrt(1 - min(t, T) / mpf(T)))
    c, W = mpf(0.25), 500
    line("warm_cosine", [a, b, T, c, W], t,
         c + (a - c) * t / mpf(W) if t < W else cosine(a, b, T, min(t - W, T)))
