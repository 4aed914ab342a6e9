"""SE-ResNets of 8 to 20 layers for images of 8x8 to 32x32 pixels, on a CPU.

    python -m tuner.search --space small

Cost: on digits, 30 to 40 trials of 18 to 28 configurations, 72 epochs: 15 to 45 seconds on 2 cores; 20,000 to
650,000 weights.
Expected: on digits (1,151 images) a validation accuracy of 0.990 to 0.997 (seeds 0 to 2); retrained by `python -m
tuner.select`, the best runs of these name 353 or 354 of the 359 test images (0.983, 0.986).

The defaults are the recipe of the paper (https://arxiv.org/abs/1709.01507, section 6): reduction ratio 16, SGD with
momentum 0.9 and weight decay 0.0001. Its learning rate, 0.6 per 1,024 images of a batch, is too low for so few epochs:
of 0.0375, 0.12, 0.2 and 0.3, the second largest ended best on digits and the two largest on Fashion-MNIST (9 epochs,
10,000 images). The depth is the least: a search trains the defaults first, so they should soon give a good network.
With two blocks a stage, a training takes twice as long, and ended within one image in 250 of this on Fashion-MNIST.
"""

MAX_EPOCHS = 9
BATCH_SIZE = 64


def declare(hp):
    """Declares depth, width, SE ratio, learning rate and weight decay."""
    hp.Fixed("stages", 3)
    hp.Int("blocks_1", 1, 3, default=1)
    hp.Int("blocks_2", 1, 3, default=1)
    hp.Int("blocks_3", 1, 3, default=1)
    hp.Choice("width", [8, 16, 24], default=16)
    hp.Choice("se_ratio", [0, 2, 4, 8, 16], default=16)
    hp.Float("learning_rate", 0.003, 0.6, sampling="log", default=0.2)
    hp.Float("weight_decay", 1e-5, 1e-2, sampling="log", default=1e-4)
