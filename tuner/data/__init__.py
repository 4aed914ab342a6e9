"""Image-classification data sets, as arrays or streamed: `load(DataSpec("digits"))`.

    spec           which data set, at which size                          (standard library)
    split          images and labels as arrays                            (NumPy)
    dataset        what `load` returns                                    (NumPy)
    loading        source string -> TFDS builder, or files -> `Dataset`
    source         where the images of a data set are, and what they are
    catalog        `tfds:NAME`: open and prepare a data set of TFDS
    digits         `digits`: scikit-learn's images as a TFDS builder
    folder         `folder:PATH`: class folders, checked
    reading        prepared data -> arrays; which data fits
    streaming      prepared data that does not fit -> splits whose images are decoded when they are needed
    readers        folders and TFDS shards by the numbers of their images, in order or shuffled
    stratification which training images become validation and test images
    images         decoding and resizing, shared with prediction
    layout         which image files a folder has                         (standard library)
    tfds           TensorFlow Datasets, for everybody else to import from
    quiet          what TFDS and its downloads print is kept off the terminal
    headers        size, channels and orientation of a PNG or JPEG file without decoding it
    copies         which files are the same            (standard library)
    notes          what a person should know of a folder before it is read (standard library)
    fashion_mnist  Debian's copy of Fashion-MNIST -> prepared TFDS data (`python -m tuner.data prepare`)

Importing this package imports neither TensorFlow nor TFDS; loading does. Decoding and resizing for prediction are
imported from `tuner.data.images`.
"""

from tuner.data.dataset import Dataset
from tuner.data.loading import load, load_test
from tuner.data.spec import DataSpec
from tuner.data.split import Split

__all__ = ["DataSpec", "Dataset", "Split", "load", "load_test"]
