"""What can be heard: features of recordings, spectral distances, how good a rendering is."""
