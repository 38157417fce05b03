"""Random changes of training images, by the config's `augment` section.

`operations` and `policies` hold the AutoAugment family, `on_device` changes whole batches where a
data set is in the device's memory, `in_loader` single images in a loader process, and `mixing`
erases rectangles and mixes pairs in batches of either kind. Every draw is a function of the
pass's seed and of the batch's or image's number.
"""
