"""Search spaces: one file each, a title page and a function `declare(hp)`.

`hp` is a `keras_tuner.HyperParameters`. The names that the SE-ResNet understands, all optional:

| name | meaning | default |
|---|---|---|
| `block` | `basic` (two 3x3) or `bottleneck` (1x1-3x3-1x1) | `basic` |
| `stem` | `small` (3x3, stride 1), `imagenet` (7x7, stride 2, max-pool) or `deep` (three 3x3, max-pool) | `small` |
| `stages` | number of stages; each halves the image and doubles the channels | 3 |
| `blocks_1`, `blocks_2`, ... | blocks of each stage | 2 |
| `width` | channels of the first stage | 16 |
| `se_ratio` | channels per gate unit (r in the paper); 0 leaves SE out | 16 |
| `se_ratio_1`, `se_ratio_2`, ... | the same, for one stage only | `se_ratio` |
| `se_stages` | stages that have SE: `all`, or a text of their numbers such as `2,3` | `all` |
| `se_position` | `standard` (end of the branch), `pre`, `inner`, `post` (behind ReLU) or `identity` | `standard` |
| `squeeze` | what SE sees of a channel: `avg` or `max` | `avg` |
| `excitation` | what ends a gate: `sigmoid`, `tanh` or `relu` | `sigmoid` |
| `cardinality` | groups of the 3x3 convolution of `bottleneck` blocks (ResNeXt); nothing to `basic` ones | 1 |
| `group_width` | channels of each of these groups in the first stage | `width / cardinality` |
| `stochastic_depth` | chance that the last block is left out of a training step; less for earlier ones | 0 |
| `dropout` | chance that a feature is left out before the classifier | 0 |
| `optimizer` | `sgd` (Nesterov momentum 0.9) or `adam` (AdamW) | `sgd` |
| `learning_rate` | peak of the schedule | 0.6 per 1,024 images of a batch |
| `sgd_learning_rate`, `adam_learning_rate` | the same, for one optimizer only | `learning_rate` |
| `weight_decay` | decoupled, not on biases and normalisation | 0.0001 |
| `label_smoothing` | share of the target spread over all classes | 0 |
| `averaged_epochs` | epochs over which the weights that are scored and exported are averaged; 0: not | 0.25 |
| `horizontal_flip` | whether a step mirrors half of its images, left to right, at random | False |
| `translation` | most that a step moves an image, in any direction, as a share of its sides | 0 |
| `class_weights` | whether all classes weigh alike in the loss, however many images they have | False |

A space that declares `backbone`, the name of a constructor of `keras.applications` such as `MobileNetV2`, searches that
network instead. It understands `se_ratio`, `dropout` and the last ten names of the table, and

| name | meaning | default |
|---|---|---|
| `se_after` | where gates stand: `residual`, `concatenation`, `activation`, or `auto`: the first that fits | `auto` |

`MAX_EPOCHS` and `BATCH_SIZE` are what a search uses when `--max-epochs` and `--batch-size` are not given.
Hyperparameters that matter only for some values of another stand in `with hp.conditional_scope(name, values):`, each
name once.
"""
