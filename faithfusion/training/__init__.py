"""Trains the generator, its codec and the fixer; run by `deepspeed train_video/train.py --config FILE.yaml`.
`config` is a leaf that holds every setting; `engine` is the only file that imports DeepSpeed."""
