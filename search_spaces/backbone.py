"""A network of `keras.applications` with SE put into it, its learning rate, weight decay and dropout.

    python -m tuner.search --space backbone --image-size 32     the network below
    python -m tuner.search --backbone DenseNet121 --image-size 32

Cost: on digits enlarged to 32x32, MobileNetV2 takes 15 s to start and 6 to 10 s an epoch on 2 busy cores; others are
many times larger, so begin with `--dry-run`.
Expected: unknown; it was tried on digits for three epochs only, to see it work.

The recipe is that of the other spaces, which is the SE paper's (https://arxiv.org/abs/1709.01507, section 6); the gates
stand where Keras's network has residual branches, else behind concatenations, else behind activations.
"""

MAX_EPOCHS = 9
BATCH_SIZE = 64


def declare(hp):
    """Declares SE ratio, dropout, learning rate and weight decay."""
    hp.Fixed("backbone", "MobileNetV2")
    hp.Choice("se_ratio", [0, 4, 16], default=16)
    hp.Fixed("se_after", "auto")
    hp.Choice("dropout", [0.0, 0.2, 0.5], default=0.0)
    hp.Float("learning_rate", 0.003, 0.6, sampling="log", default=0.0375)
    hp.Float("weight_decay", 1e-5, 1e-2, sampling="log", default=1e-4)
