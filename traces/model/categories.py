"""Categories by the names that people give them."""

from __future__ import annotations

from stallscope.traces.model.errors import BadInput
from stallscope.traces.model.fields import CATEGORIES, Category


def categories(wanted: str | Category) -> tuple[Category, ...]:
    """The categories that ``wanted`` names: one of ours (``"kernel"``, ``"memcpy"``) or a trace's spelling of one.

    Raises:
        BadInput: no category has that name; the sentence lists them.

    """
    if isinstance(wanted, Category):
        return (wanted,)
    ours = {category.name.lower(): category for category in Category}
    category = ours.get(wanted.lower(), CATEGORIES.get(wanted))
    if category is None:
        raise BadInput(f"{wanted}: no category of events; known are {', '.join(ours)}")
    return (category,)
