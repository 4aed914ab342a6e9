"""Tables in Markdown, whatever stands in their cells."""

import html

import pytest

from tuner.markdown import one_line, plain, table


def test_cells_keep_the_table_in_order():
    text = table(["name", "a|b"], [["two\nlines", "1"], ["x", "|"]])
    assert text == "| name | a\\|b |\n| ---: | ---: |\n| two lines | 1 |\n| x | \\| |\n"
    assert table(["name", "n"], [["a", 1]], first="---") == "| name | n |\n| --- | ---: |\n| a | 1 |\n"
    assert table(["name"], [], rule="---") == "| name |\n| --- |\n"


def test_text_of_several_lines_is_one():
    assert one_line(" a \n b|c ") == "a b\\|c"


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("_x_ __init__", r"\_x\_ \_\_init\_\_"),
        ("learning_rate", "learning_rate"),  # no markup
        (r"a\*b", r"a\\\*b"),
        (r"a\|b", r"a\\|b"),
        ("end\\  ", r"end\\"),
        (r"C:\photos", r"C:\photos"),
        ("~~s~~ &amp; $x$", r"\~\~s\~\~ \&amp; \$x\$"),
        ("<b>![i](u)`c`", r"\<b\>!\[i\](u)\`c\`"),
        ("two\nlines", "two lines"),
    ],
)
def test_name_of_a_person_is_no_markup(name, escaped):
    assert plain(name) == escaped


@pytest.mark.parametrize(
    "name",
    ["_x_", "__init__", r"a\*b", r"a\|b", "a|b", "end\\", r"\\|", "~~s~~", "&amp;", "<b>", "![i](u)", "`c`", "[a]"],
)
def test_name_is_shown_as_it_is_in_a_cell_and_in_a_sentence(name):
    reader = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True})
    page = reader.enable(["table", "strikethrough"]).render
    shown = html.escape(name)
    assert f"<td>{shown}</td>\n<td>1</td>" in page(table(["a", "b"], [[plain(name), 1]], rule="---"))
    assert page(f"x: {one_line(plain(name))}, y") == f"<p>x: {shown}, y</p>\n"
