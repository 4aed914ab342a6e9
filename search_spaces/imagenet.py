"""SE-ResNets of 50 to 152 layers with bottleneck blocks for images of 224x224 pixels.

    python -m tuner.search --space imagenet --dataset folder:PATH --image-size 224

Cost: 26 to 67 million weights and 3.9 to 11.3 billion multiply-accumulates an image; meant for several GPUs. Two trials
of one and two epochs on 200 pictures of 64x64 were run, and no search to its end: the machines this was written on have
no GPU and no ImageNet.
Expected: SE-ResNet-50 reaches 23.29 % top-1 error in the paper (table 2) after 100 epochs.
"""

MAX_EPOCHS = 90
BATCH_SIZE = 256


def declare(hp):
    """Declares depth, SE ratio, learning rate, weight decay and label smoothing; the paper mirrors and crops images."""
    hp.Fixed("block", "bottleneck")
    hp.Fixed("stem", "imagenet")
    hp.Fixed("stages", 4)
    hp.Fixed("blocks_1", 3)
    hp.Choice("blocks_2", [4, 8], default=4)
    hp.Choice("blocks_3", [6, 23, 36], default=6)
    hp.Fixed("blocks_4", 3)
    hp.Choice("width", [48, 64], default=64)
    hp.Choice("se_ratio", [0, 4, 8, 16, 32], default=16)
    hp.Float("learning_rate", 0.01, 1.0, sampling="log", default=0.15)
    hp.Float("weight_decay", 1e-5, 1e-3, sampling="log", default=1e-4)
    hp.Float("label_smoothing", 0.0, 0.2, step=0.05, default=0.1)
    hp.Fixed("horizontal_flip", True)
    hp.Fixed("translation", 0.125)
