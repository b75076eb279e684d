"""Print what the instrument measures where the answer is known, beside the answer.

The exit status is 1 if one is missed. The tests run the same, small.
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np

from bench import isometry, oracles, trained_denoisers
from bench.known_answers import (
    CNN,
    TwoNormals,
    flipped,
    head,
    mixed,
    moments,
    oriented,
    parts,
    permuted,
    score,
    scores,
    space,
    three_spaces,
    whitened,
)
from bench.measure import Row
from bench.mixtures import GOLDEN, SPACE, Grids
from bench.noise_conditioned import CASES, classifier, film
from pipeline import delong
from pipeline.heads import HeadSpec

LINEAR = head("linear", strengths=[1.0])
NEAREST = head("knn", neighbours=[1])
PERCEPTRON = head("mlp", grid=None, epochs=20, batch=128, learning_rate=0.002)
WITHOUT_NEIGHBOURHOODS = {"1-nn": NEAREST, "mlp": PERCEPTRON}
ACCURACY = "balanced_accuracy"


def identity(count: int = 2000) -> Iterator[Row]:
    """Where the latent is the image, every gap and loss is exactly 0, whatever the head."""
    images, classes = TwoNormals(1.6).draw(count, 0)
    spaces = three_spaces(images, classes, "identity")
    split = parts(count // 2, count // 4, count // 4)
    for name, spec in {"linear": LINEAR, "knn": head("knn"), "cnn": CNN}.items():
        outcomes = [spec.fit(data, split, 0).test for data in spaces.values()]
        apart = max(float(np.abs(outcome - outcomes[0]).max()) for outcome in outcomes)
        yield Row(f"identity, {name}: largest difference of a score", apart, 0, False)


def invariants(count: int = 8000) -> Iterator[Row]:
    """Lossless scrambles whose gap is 0 by theory: orthogonal for neighbours, any linear map for a linear rule."""
    images, classes = TwoNormals(3.0, side=8).draw(count, 1)
    split = parts(count // 2, count // 4, count // 4)
    white = whitened(images, split.train)
    scrambles = {"mixed 4 x 4": mixed(white, 4), "mixed 8 x 8": mixed(white, 8), "permuted": permuted(white)}
    for name, scrambled in scrambles.items():
        for family, spec in {"1-nn": NEAREST, "linear": LINEAR}.items():
            before, after = (spec.fit(space(v, classes), split, 0).test for v in (white, scrambled))
            changed = float(np.mean(before.argmax(axis=1) != after.argmax(axis=1)))
            found = score(spec, space(white, classes), split, ACCURACY)
            yield Row(f"{name}, {family}: decisions that change", changed, 0.001, False, f"accuracy {found:.3f}")


def reach(count: int = 20000, patch: int = 8) -> Iterator[Row]:
    """The gap of a lossless mixing of patches shrinks as a rule looks farther, and is 0 where it sees a whole patch."""
    images, classes = oriented(count, 16, 2, smooth=0.2)
    scrambled, split = mixed(images, patch), parts(count * 7 // 10, count // 20, count // 4)
    gaps: list[float] = []
    while 2 ** len(gaps) < patch:
        side = 2 ** (len(gaps) + 1)
        found = [score(LINEAR, space(moments(v, side), classes), split, ACCURACY) for v in (images, scrambled)]
        gaps.append(found[0] - found[1])
        note = f"{found[0]:.3f} on images"
        if side < patch:
            yield Row(f"patches of {patch} mixed, seen to {side} pixels: gap", gaps[-1], 0.1, True, note)
        else:
            yield Row(f"patches of {patch} mixed, seen to {side} pixels: gap", abs(gaps[-1]), 0.005, False, note)
    yield Row("least decrease of the gap from one reach to the next", -max(np.diff(gaps)), 0.05, True)


def local_filters(count: int = 8000, heads: dict[str, HeadSpec] = WITHOUT_NEIGHBOURHOODS) -> Iterator[Row]:
    """A permutation of pixels costs a network of local filters its accuracy, heads without neighbourhoods nothing.

    Initial weights of a perceptron are drawn alike for every input, so that for it an order of the inputs is as good as
    another; its gap is that of two draws.
    """
    images, classes = oriented(count, 16, 0, smooth=0.5)
    split = parts(count // 2, count // 4, count // 4)
    spaces = {"image": space(images, classes), "permuted": space(permuted(images), classes)}
    for name, spec in {"cnn": CNN, **heads}.items():
        found = scores(spec, spaces, split, ACCURACY)
        gap, note = found["image"] - found["permuted"], f"{found['image']:.3f} on images"
        if name == "cnn":
            yield Row("pixels permuted, cnn: gap", gap, 0.15, True, note)
        else:
            yield Row(f"pixels permuted, {name}: gap", abs(gap), 0.02, False, note)


def lossy(train: int = 40000, test: int = 100000, shares: tuple[float, ...] = (0.25, 0.5, 0.75)) -> Iterator[Row]:
    """Averaging over patches loses what the closed form says, as information and not as structure."""
    for share in shares:
        classes_apart = TwoNormals(1.6, share)
        images, classes = classes_apart.draw(train + 400 + test, 3)
        split = parts(train, 400, test)
        spaces = three_spaces(images, classes, "lossy", stride=classes_apart.patch)
        fitted = {name: LINEAR.fit(data, split, 0).test[:, 1].astype(np.float64) for name, data in spaces.items()}
        truth = classes[split.test]
        loss, error = delong.difference(fitted["image"], fitted["reconstruction"], truth)
        values = images[0].size
        expected = classes_apart.auroc(1, values, train) - classes_apart.auroc(1 - share, values // 4, train)
        note = f"AUROC {loss:.4f}, {expected:.4f} by the closed form"
        yield Row(f"lossy, share {share}: loss, off in standard errors", abs(loss - expected) / error, 4, False, note)
        gap, _ = delong.difference(fitted["reconstruction"], fitted["latent"], truth)
        yield Row(f"lossy, share {share}: gap", abs(gap), 0.001, False)


def noisy_labels(train: int = 40000, test: int = 100000, rates: tuple[float, ...] = (0.1, 0.2, 0.3)) -> Iterator[Row]:
    """Labels that are exchanged lower every space by what the closed form says, and leave the gap at 0."""
    classes_apart = TwoNormals(1.6)
    images, classes = classes_apart.draw(train + 400 + test, 4)
    split = parts(train, 400, test)
    for rate in rates:
        spaces = three_spaces(images, flipped(classes, rate, 4), "orthogonal", stride=4, seed=0)
        found = scores(LINEAR, spaces, split, ACCURACY)
        true = classes_apart.accuracy(1, images[0].size, train * (1 - 2 * rate) ** 2)
        expected = true * (1 - rate) + (1 - true) * rate
        error = np.sqrt(expected * (1 - expected) / test)
        note = f"{found['image']:.4f}, {expected:.4f} by the closed form"
        off = abs(found["image"] - expected) / error
        yield Row(f"labels, {rate:.0%} exchanged: accuracy, off in standard errors", off, 4, False, note)
        gap = max(abs(found[name] - found["image"]) for name in found)
        yield Row(f"labels, {rate:.0%} exchanged: largest difference of spaces", gap, 0.002, False)


def mixtures(draws: int = 1_000_000) -> Iterator[Row]:
    """I(C; Y_t): the quadrature against the table, and the exact posterior of grids against the quadrature."""
    for name, mixture, t, known in GOLDEN:
        yield Row(f"I(C;Y), {name}, t {t}: off the table", abs(mixture.information(t) - known), 1e-8, False)
        grids = Grids(mixture, 4)
        value, error, _ = grids.measured(grids.log_posterior, t, draws, 0)
        note = f"{value:.4f} nats, {known:.4f} by quadrature"
        off = abs(value - known) / error
        yield Row(f"I(C;Y), {name}, t {t}: grids, off in standard errors", off, 4, False, note)
    evened = SPACE.evened()
    same = np.ptp(np.diag(evened.covariance()))
    yield Row("3-D mixture: coordinates' variances differ by", float(same), 1e-12, False)


def noise_conditioned(count: int = 16_000, epochs: int = 15) -> Iterator[Row]:
    """A trained film-convnext against I(C; Y_t) of the table's mixtures."""
    spec = classifier(epochs=epochs, learning_rate=0.004, noise={"sigma_min": 0.05, "sigma_max": 8.0, "evaluated": 0})
    for name in CASES:
        yield from film(name, spec, count=count)


CHECKS: tuple[Callable[[], Iterator[Row]], ...] = (
    identity,
    invariants,
    reach,
    local_filters,
    lossy,
    noisy_labels,
    mixtures,
    noise_conditioned,
    *oracles.CHECKS,
    *trained_denoisers.CHECKS,
    *isometry.CHECKS,
)


def main() -> None:
    """Run all of it."""
    print(f"{'':<58}{'found':>10}  {'bound':<9}")
    missed = 0
    for check in CHECKS:
        for row in check():
            print(row, flush=True)
            missed += not row.holds()
    if missed:
        sys.exit(f"{missed} bounds are missed")


if __name__ == "__main__":
    main()
