"""Methods that look at the gradient of the score with respect to the pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from toolkit.explaining.subject import Map, Subject
from toolkit.runtime.extras import import_captum


def saliency(subject: Subject) -> Map:
    """The absolute value of the derivative of the score with respect to each pixel, the largest of its three
    channels.

    Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks: Visualising Image Classification
    Models and Saliency Maps, 2014 (https://arxiv.org/abs/1312.6034), section 3.1. The unit is score per step
    of an 8-bit channel.
    """
    images = subject.images().requires_grad_()
    (gradient,) = torch.autograd.grad(subject.score(images).sum(), images)
    return Map(_largest(gradient))


def smoothgrad(subject: Subject) -> Map:
    """Like saliency, of the mean derivative over noisy copies of the image.

    Smilkov, Thorat, Kim, Viégas and Wattenberg, SmoothGrad: removing noise by adding noise, 2017
    (https://arxiv.org/abs/1706.03825). The noise has a standard deviation of ``effort.noise`` times the range
    of the image's values.

    Raises:
        UnavailableError: when captum is not installed.
    """
    captum = import_captum("the method smoothgrad")
    images, effort = subject.images(), subject.effort
    spread = float(images.max() - images.min()) * effort.noise
    tunnel = captum.NoiseTunnel(captum.Saliency(subject.score))
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(effort.seed)
        gradient = tunnel.attribute(
            images,
            nt_type="smoothgrad",
            nt_samples=effort.samples,
            nt_samples_batch_size=min(effort.batch_size, effort.samples),
            stdevs=spread,
            abs=False,
        )
    return Map(_largest(gradient))


def integrated_gradients(subject: Subject) -> Map:
    """How much each pixel adds to the score on the way from a black image: the derivative, averaged over
    images between black and the image, times the pixel; summed over the channels, as an absolute value.

    Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017
    (https://arxiv.org/abs/1703.01365). Its figures are ``gain``, by how much the score is larger than that of
    the black image, and ``missing``, the difference between this and the sum of the contributions, which
    should be small.

    Raises:
        UnavailableError: when captum is not installed.
    """
    captum = import_captum("the method integrated-gradients")
    images, effort = subject.images(), subject.effort
    parts = captum.IntegratedGradients(subject.score).attribute(
        images,
        baselines=torch.zeros_like(images),
        n_steps=effort.steps,
        internal_batch_size=min(effort.batch_size, effort.steps),
    )
    with torch.no_grad():
        gain = float(subject.score(images) - subject.score(torch.zeros_like(images)))
    figures = {"gain": gain, "missing": gain - float(parts.sum())}
    return Map(parts[0].detach().sum(0).abs(), figures=figures)


def _largest(gradient: Tensor) -> Tensor:
    """The largest absolute value over the channels: ``[H, W]`` from ``[1, 3, H, W]``."""
    return gradient[0].detach().abs().amax(0)
