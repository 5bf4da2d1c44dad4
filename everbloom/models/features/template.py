"""What a text template names."""

import string


def text_fields(template: str) -> list[str]:
    """The fields, each once, in order."""
    return list(dict.fromkeys(name for _, name, _, _ in string.Formatter().parse(template) if name))
