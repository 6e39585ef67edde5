"""Writes golden.txt: every loss on one fixed batch, with 50 digits, gradients by numerical differentiation.

    python3 golden.py > golden.txt        (mpmath 1.3.0, Python 3.11)

Values come from the definitions alone, gradients from differences of the values: no formula of a gradient is used.
"""
import mpmath
from mpmath import mp, mpf

mp.dps = 50
STUDENT = [["0.5", "-1.25", "2", "0", "3.75"], ["-0.125", "1", "1", "-6", "0.25"]]
TEACHER = [["1", "0.75", "-2", "0.5", "3"], ["2.5", "-0.5", "0.125", "-3", "-1"]]
LABELS = [4, 0]


def softmax(logits, temperature):
    powers = [mpmath.exp(x / temperature) for x in logits]
    return [x / sum(powers) for x in powers]


def kl(p, q):
    return sum(a * mpmath.log(a / b) for a, b in zip(p, q))


def mix(share, p, q):
    return [share * a + (1 - share) * b for a, b in zip(p, q)]


def alpha_beta(p, q, a, b):
    s = a + b
    return -sum(x**a * y**b - a / s * x**s - b / s * y**s for x, y in zip(p, q)) / (a * b)


def ab(a, b):
    """alpha_beta and its limits, which are written out."""
    if a and b and a + b:
        return lambda p, q: alpha_beta(p, q, a, b)
    if a == 0 and b == 0:
        return lambda p, q: sum((mpmath.log(x / y)) ** 2 for x, y in zip(p, q)) / 2
    if b == 0:
        return lambda p, q: sum(a * x**a * mpmath.log(x / y) - x**a + y**a for x, y in zip(p, q)) / mpf(a) ** 2
    if a == 0:
        return lambda p, q: sum(b * y**b * mpmath.log(y / x) - y**b + x**b for x, y in zip(p, q)) / mpf(b) ** 2
    return lambda p, q: sum(a * mpmath.log(y / x) + (x / y) ** a - 1 for x, y in zip(p, q)) / mpf(a) ** 2


half, eighth = mpf("0.5"), mpf("0.125")
LOSSES = [
    ("forward_kl", 0, 0, kl),
    ("reverse_kl", 0, 0, lambda p, q: kl(q, p)),
    ("jensen_shannon", 0, half, lambda p, q: (kl(p, mix(half, p, q)) + kl(q, mix(half, p, q))) / 2),
    ("jensen_shannon", 0, eighth,
     lambda p, q: eighth * kl(p, mix(eighth, p, q)) + (1 - eighth) * kl(q, mix(eighth, p, q))),
    ("skewed_forward_kl", eighth, 0, lambda p, q: kl(p, mix(eighth, p, q))),
    ("skewed_reverse_kl", eighth, 0, lambda p, q: kl(q, mix(1 - eighth, p, q))),
    ("total_variation", 0, 0, lambda p, q: sum(abs(a - b) for a, b in zip(p, q)) / 2),
    ("soft_cross_entropy", 0, 0, lambda p, q: -sum(a * mpmath.log(b) for a, b in zip(p, q))),
] + [("alpha_beta", mpf(a), mpf(b), ab(mpf(a), mpf(b)))
     for a, b in [("0.5", "0.5"), ("0.5", "0.25"), ("1", "1"), ("2", "-1"), ("0.5", "0"), ("0", "0.5"),
                  ("0.5", "-0.5"), ("0", "0")]]
TEMPERATURES = [("1", "1", 1), ("4", "4", 1), ("4", "4", 0), ("2", "0.5", 1)]


def batch_value(student, row_value):
    return sum(row_value(row, z) for row, z in enumerate(student)) / len(student)


def gradient(student, row_value):
    step = mpf(10) ** -12
    result = []
    for row, z in enumerate(student):
        for c in range(len(z)):
            def at(offset):
                return row_value(row, [x + offset * step if i == c else x for i, x in enumerate(z)])
            slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
            result.append(slope / len(student))
    return result


def line(name, temperature, teacher_temperature, squared, alpha, beta, row_value):
    student = [[mpf(x) for x in row] for row in STUDENT]
    numbers = [batch_value(student, row_value)] + gradient(student, row_value)
    fields = [name, temperature, teacher_temperature, squared, mpmath.nstr(mpf(alpha), 6), mpmath.nstr(mpf(beta), 6)]
    print(*fields, *[mpmath.nstr(mpmath.chop(x, mpf(10) ** -30), 20) for x in numbers])


def main():
    teacher = [[mpf(x) for x in row] for row in TEACHER]
    for name, alpha, beta, divergence in LOSSES:
        for t_student, t_teacher, squared in TEMPERATURES:
            scale = mpf(t_student) * mpf(t_teacher) if squared else 1

            def row_value(row, z):
                return scale * divergence(softmax(teacher[row], mpf(t_teacher)), softmax(z, mpf(t_student)))
            line(name, t_student, t_teacher, squared, alpha, beta, row_value)
    for temperature, smoothing in [("1", "0"), ("4", "0.125")]:
        def hard(row, z):
            q = softmax(z, mpf(temperature))
            share = mpf(smoothing) / len(q)
            return -sum(((1 - mpf(smoothing)) * (c == LABELS[row]) + share) * mpmath.log(x) for c, x in enumerate(q))
        line("cross_entropy", temperature, temperature, 0, mpf(smoothing), 0, hard)
    line("logit_mse", 1, 1, 0, 0, 0, lambda row, z: sum((a - b) ** 2 for a, b in zip(z, teacher[row])))


main()
