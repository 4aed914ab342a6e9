"""Search spaces: one file each, a title page and a function `declare(hp)`.

`hp` is a `keras_tuner.HyperParameters`. The names that the SE-ResNet understands, all optional:

| name | meaning | default |
|---|---|---|
| `block` | `basic` (two 3x3) or `bottleneck` (1x1-3x3-1x1) | `basic` |
| `stem` | `small` (3x3, stride 1) or `imagenet` (7x7, stride 2, max-pool) | `small` |
| `stages` | number of stages; each halves the image and doubles the channels | 3 |
| `blocks_1`, `blocks_2`, ... | blocks of each stage | 2 |
| `width` | channels of the first stage | 16 |
| `se_ratio` | channels per gate unit (r in the paper); 0 leaves SE out | 16 |
| `optimizer` | `sgd` (Nesterov momentum 0.9) or `adam` (AdamW) | `sgd` |
| `learning_rate` | peak of the schedule | 0.6 per 1,024 images of a batch |
| `sgd_learning_rate`, `adam_learning_rate` | the same, for one optimizer only | `learning_rate` |
| `weight_decay` | decoupled, not on biases and normalisation | 0.0001 |
| `label_smoothing` | share of the target spread over all classes | 0 |
| `averaged_epochs` | epochs over which the weights that are scored and exported are averaged; 0: not | 0.25 |

`MAX_EPOCHS` and `BATCH_SIZE` are what a search uses when `--max-epochs` and `--batch-size` are not given.
Hyperparameters that matter only for some values of another stand in `with hp.conditional_scope(name, values):`, each
name once.
"""
