"""What every room needs and no room owns: errors, files that are whole or absent, progress, pictures, seeds.
Nothing here knows of drives, Gaussians or networks."""
