"""The networks of the generator: Wan2.1 backbone, EIG branch, codec, conditioning, and the times of its tokens.
Nothing here reads a file or knows what a clip on disk is."""
