"""Windows of 4k+1 frames on disk: shards of training pairs, and video files.
A shard is one safetensors file with a strict header."""
