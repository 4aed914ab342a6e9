r"""What augmentation brings to the default network of `small`: a space of all combinations, for `--algorithm grid`.

    python -m tuner.search --space benchmarks/augmentation.py --algorithm grid --seed 0 --workers 2 \
        --dataset tfds:fashion_mnist --image-size 14 --images 4000 --validation-fraction 0.5

Cost: 8 trials of 27 epochs for each seed.
Expected: the table in benchmarks/README.md.
"""

MAX_EPOCHS = 27
BATCH_SIZE = 64

_NETWORK = {"stages": 3, "blocks_1": 1, "blocks_2": 1, "blocks_3": 1, "width": 16, "se_ratio": 16}
_RECIPE = {"learning_rate": 0.2, "weight_decay": 1e-4}


def declare(hp):
    """Declares whether images are mirrored and how far they are moved; all else is fixed."""
    for name, value in {**_NETWORK, **_RECIPE}.items():
        hp.Fixed(name, value)
    hp.Boolean("horizontal_flip")
    hp.Choice("translation", [0.0, 0.0625, 0.125, 0.25], default=0.0)
