# SPDX-License-Identifier: Apache-2.0
"""ResNet-50's tensors, generated from its architecture: 161 of them, 25,557,032 values."""

STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))  # blocks, width
EXPANSION = 4


def shapes():
    """The shape of each tensor, from the first layer to the last."""
    found = [(64, 3, 7, 7), (64,), (64,)]  # convolution, scale and shift of its normalisation
    inputs = 64
    for blocks, width in STAGES:
        for block in range(blocks):
            outputs = EXPANSION * width
            convolutions = [(width, inputs, 1, 1), (width, width, 3, 3), (outputs, width, 1, 1)]
            if block == 0:
                convolutions.append((outputs, inputs, 1, 1))
            for convolution in convolutions:
                found += [convolution, (convolution[0],), (convolution[0],)]
            inputs = outputs
    return found + [(1000, inputs), (1000,)]


def element_counts():
    """The number of elements of each tensor, in the same order."""
    counts = []
    for shape in shapes():
        count = 1
        for length in shape:
            count *= length
        counts.append(count)
    return counts
