"""AdaBoost against scikit-learn's and against its bounds; the network that is its vote."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import AdaBoostClassifier

from studies import boosting
from studies.adaboost import StumpSearch, as_network, boost
from studies.boosting import Halves, fine_tune, judge
from studies.report import Options

Floats = npt.NDArray[np.float64]


class BestStump(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Our stumps as scikit-learn wants its estimators."""

    def fit(self, x: Floats, y: Floats, sample_weight: Floats) -> "BestStump":
        self.classes_ = np.array([-1.0, 1.0])
        self.stump_, _ = StumpSearch(x, y).best(sample_weight / sample_weight.sum())
        return self

    def predict(self, x: Floats) -> Any:
        return self.stump_(x)


def noisy_ring(count: int, seed: int) -> tuple[Floats, Floats]:
    """Points whose answer is whether they lie outside a circle, one in ten told wrongly; values repeat."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).round(1)
    y = np.where((x[:, :2] ** 2).sum(1) > 1.4, 1.0, -1.0)
    return x, y * np.where(rng.random(count) < 0.1, -1, 1)


def test_the_stump_is_the_best_of_all() -> None:
    x, y = noisy_ring(60, 0)
    weights = np.random.default_rng(1).random(60)
    weights /= weights.sum()
    stump, error = StumpSearch(x, y).best(weights)
    every = [
        weights[np.where(x[:, j] > t, sign, -sign) != y].sum()
        for j in range(4)
        for t in [*np.unique(x[:, j]), -99]
        for sign in (-1, 1)
    ]
    assert error == pytest.approx(min(every), abs=1e-12)
    assert weights[stump(x) != y].sum() == pytest.approx(error, abs=1e-12)


def test_weights_errors_and_scores_are_scikit_learns() -> None:
    x, y = noisy_ring(300, 2)
    new, _ = noisy_ring(200, 3)
    vote = boost(x, y, 60)
    reference = AdaBoostClassifier(BestStump(), n_estimators=60, learning_rate=1.0).fit(x, y)
    assert len(vote.stumps) == len(reference.estimators_) == 60
    assert [e.stump_ for e in reference.estimators_] == vote.stumps
    np.testing.assert_allclose(vote.errors, reference.estimator_errors_, rtol=0, atol=1e-12)
    # scikit-learn's votes are ln((1−e)/e), twice ours, and its scores are shares of their sum.
    np.testing.assert_allclose(2 * vote.alphas, reference.estimator_weights_, rtol=0, atol=1e-12)
    shares = vote.scores(new)[:, -1] / vote.alphas.sum()
    theirs = reference.decision_function(new)
    np.testing.assert_allclose(shares, theirs / np.abs(theirs).max() * np.abs(shares).max(), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(np.where(shares > 0, 1, -1), reference.predict(new))


def test_training_error_stays_below_its_bounds() -> None:
    x, y = noisy_ring(300, 4)
    vote = boost(x, y, 80)
    error = (np.where(vote.scores(x) > 0, 1, -1) != y[:, None]).mean(0)
    assert (error <= vote.bound() + 1e-12).all()
    assert (vote.bound() <= vote.loose_bound() + 1e-12).all()
    # The bound is the mean of exp(−y·score), exactly.
    np.testing.assert_allclose(np.exp(-y[:, None] * vote.scores(x)).mean(0), vote.bound(), rtol=1e-10)
    assert error[-1] < error[0] / 2


def test_a_perfect_stump_ends_it() -> None:
    vote = boost(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 1.0, -1.0]), 10)
    assert len(vote.stumps) == 1 and vote.stumps[0].threshold == 1.5 and vote.errors[0] == 0
    assert (vote.scores(np.array([[0.0], [3.0]]))[:, 0] == [1, -1]).all()


def test_the_network_votes_as_the_ensemble_does() -> None:
    x, y = noisy_ring(300, 5)
    vote = boost(x, y, 40)
    # Values on a threshold too: there a step must fall to the same side.
    edges = np.array([[s.threshold] * 4 for s in vote.stumps])
    for points in (x, edges):
        scores = vote.scores(points)[:, -1]
        out = as_network(vote, 4)(torch.from_numpy(points)).detach().numpy()
        np.testing.assert_allclose(out, scores, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(out > 0, scores > 0)
    clear = np.abs(x[:, None, 0] - [s.threshold for s in vote.stumps]).min(1) > 0.01
    soft = as_network(vote, 4, softness=1e-4)(torch.from_numpy(x[clear])).detach().numpy()
    assert np.mean(np.sign(soft) == np.sign(vote.scores(x[clear])[:, -1])) > 0.95


def test_a_gradient_reaches_both_layers_of_a_soft_network() -> None:
    x, y = noisy_ring(20, 6)
    net = as_network(boost(x, y, 5), 4, softness=0.3)
    points = torch.from_numpy(x[:6]).requires_grad_()
    assert torch.autograd.gradcheck(net, points)
    boosting.logistic(net(points), torch.from_numpy(y[:6])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_training_further_never_ends_worse_on_validation() -> None:
    x, y = noisy_ring(200, 7)
    train, validation = Halves(x[:100], y[:100]), Halves(x[100:], y[100:])
    start = as_network(boost(train.x, train.y, 20), 4, softness=0.1)
    _, (error, loss) = fine_tune(start, train, validation, 1e-2, 60)
    before = judge(start.float(), validation)
    assert (error, loss) < before


def test_the_study_runs(options: Options) -> None:
    table = boosting.run(options)
    assert [row[0] for row in table.rows] == ["digits: 4 or 9", "digits: even or odd", "characters: C or G"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    with Image.open(options.figure("boosting")) as picture:
        assert min(picture.size) > 500
