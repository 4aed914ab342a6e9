"""SE-ResNets of 14 to 44 layers for images of the size of CIFAR's, on one GPU.

    python -m tuner.search --space medium --dataset tfds:cifar10

Cost: 50,000 images of 32x32 pixels, up to 4 million weights; meant for one GPU. Four trials of one to three epochs on
400 pictures were run, and no search to its end: the machines this was written on have no GPU and no copy of CIFAR-10.
Expected: the paper's CIFAR-10 error is 5.21 % with SE-ResNet-110 (table 4), trained far longer than 27 epochs.
"""

MAX_EPOCHS = 27
BATCH_SIZE = 128


def declare(hp):
    """Declares depth, width, SE ratio, optimizer, learning rate, weight decay, label smoothing and augmentation."""
    hp.Fixed("stages", 3)
    for stage in (1, 2, 3):
        hp.Int(f"blocks_{stage}", 2, 7, default=3)
    hp.Choice("width", [16, 32, 48, 64], default=32)
    hp.Choice("se_ratio", [0, 4, 8, 16], default=16)
    hp.Choice("optimizer", ["sgd", "adam"], default="sgd")
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("sgd_learning_rate", 0.01, 1.0, sampling="log", default=0.075)
    with hp.conditional_scope("optimizer", ["adam"]):
        hp.Float("adam_learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    hp.Float("weight_decay", 1e-5, 1e-2, sampling="log", default=1e-4)
    hp.Float("label_smoothing", 0.0, 0.2, step=0.05, default=0.1)
    hp.Boolean("horizontal_flip", default=True)
    hp.Float("translation", 0.0, 0.25, step=0.125, default=0.125)
