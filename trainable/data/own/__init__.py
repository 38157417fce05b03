"""Data sets of the user's own, `dataset.name: module:callable`.

- `build` imports and calls the callable, and reads what it returns.
- `items` reads single items: an image and its label.
- `fetching` fetches items so that random changes depend on a seed and the item's number alone.
- `measure` looks at a few items: channels, size, kind, classes.
- `load` makes an `ImageSource`: of arrays in memory where that is possible, else `source`.
"""
