"""Whatever a title holds, it stays text."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from everbloom.report.markup import Markup, joined, number, tag


class Parsed(HTMLParser):
    """The text and the attributes that a browser would read."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.attributes, self.tags = "", [], []
        self.feed(page)
        self.close()

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))))
def test_text_and_attributes_come_back_as_they_were(text):
    parsed = Parsed(tag("p", text, title=text))
    assert parsed.text == text
    assert parsed.attributes == [("title", text)]
    assert parsed.tags == ["p"]


def test_children_nest_and_none_and_false_leave_out():
    made = tag("ul", [tag("li", name) for name in ("a", "b")], None, class_="x", hidden=False, data_key=None, open=True)
    assert made == '<ul class="x" open><li>a</li><li>b</li></ul>'
    assert joined("<", Markup("<br>"), 1.5) == "&lt;<br>1.5"
    assert tag("br") == "<br>"


def test_coordinates_are_short():
    assert [number(value) for value in (1.0, 0.1 + 0.2, 3, -2.506, 0.0)] == ["1", "0.3", "3", "-2.51", "0"]
