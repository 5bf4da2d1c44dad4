"""Kinds of numbers that several tables have."""

from typing import Annotated

from pydantic import Field

Fraction = Annotated[float, Field(gt=0, le=1)]
