"""What every room shares and no stage owns: files, seeds, images, fingerprints, errors."""
