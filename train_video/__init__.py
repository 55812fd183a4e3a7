"""Training of the generator and its codec, run by `deepspeed train_video/train.py --config FILE.yaml`."""
