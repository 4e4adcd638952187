"""Language and task arithmetic on adapters: ``0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])``.

Importing this package loads neither torch nor transformers; what needs them is imported on use.
"""

__version__ = "0.1.0"
