"""Four small networks: to see the program work, and for its tests.

    python -m tuner.search --space tiny --max-epochs 3

Cost: 8x8 to 32x32 images, at most 5,460 weights; on digits 16 trials of 10 configurations, 24 epochs, 20
seconds on 2 cores.
Expected: on digits a validation accuracy of 0.868 to 0.972 after 3 epochs (seeds 0 to 2, `--workers 1`).
"""

MAX_EPOCHS = 3


def declare(hp):
    """Declares width, SE ratio and learning rate."""
    hp.Fixed("stages", 2)
    hp.Fixed("blocks_1", 1)
    hp.Fixed("blocks_2", 1)
    hp.Choice("width", [4, 8], default=8)
    hp.Choice("se_ratio", [0, 4], default=4)
    hp.Float("learning_rate", 0.005, 0.5, sampling="log", default=0.0375)
