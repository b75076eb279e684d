"""Miniature copies of the official layouts of data sets: a module a family, each with `build` functions.

A `build` function writes images and tables below a folder and returns the configuration's entry for them, with paths
relative to the folder's parent. Every class is a level of brightness, so that it can be learnt from few images.
"""
