"""From the edited clip back into the Gaussians: pixel weights, supervision, schedule, and the loop that steps.
Nothing but the loss on new views; recorded ones come from `fit`."""
