"""From rows to statements: summaries over seeds, paired differences, and the checks on the ruler itself.

Everything here takes rows and arrays and returns rows and arrays; figures draw them and compute nothing.
"""
