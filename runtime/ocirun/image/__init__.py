"""Images: a layout, an archive of an engine or of a root file system becomes a bundle.

Nothing of an image is believed.  Paths are looked up by descriptors below the new root (`tree`), archives are read by
a reader that knows the bounds of what it holds in memory (`tar`), and what has a digest is compared with it
(`streams`).
"""
