"""Constants of the rasteriser, shared by its backends, by `eig` and by the slow twins.

They follow gsplat's CUDA kernels (v1.5), so that every backend draws the same image.
"""

COVARIANCE_BLUR_PX2 = 0.3  # added to both diagonal entries of the 2D covariance, without opacity compensation
MAX_ALPHA = 0.999  # alpha = min(MAX_ALPHA, opacity * exp(-q / 2)); gsplat's value
MIN_ALPHA = 1.0 / 255.0  # a Gaussian below this at a pixel is skipped there
MIN_TRANSMITTANCE = (
    1e-4  # the Gaussian that would bring the transmittance here or below is not blended, nor are later ones
)
NEAR_M = 0.05  # Gaussians whose centre is nearer than this to the camera plane are culled
TILE_SIZE_PX = 16
EDGE_MARGIN = 0.3  # slopes x/z, y/z in the projection's Jacobian are clamped this share of tan(fov/2) outside the image
