"""Tables in Markdown, whatever stands in their cells."""

from tuner.markdown import one_line, table


def test_cells_keep_the_table_in_order():
    text = table(["name", "a|b"], [["two\nlines", "1"], ["x", "|"]])
    assert text == "| name | a\\|b |\n| ---: | ---: |\n| two lines | 1 |\n| x | \\| |\n"
    assert table(["name", "n"], [["a", 1]], first="---") == "| name | n |\n| --- | ---: |\n| a | 1 |\n"
    assert table(["name"], [], rule="---") == "| name |\n| --- |\n"


def test_text_of_several_lines_is_one():
    assert one_line(" a \n b|c ") == "a b\\|c"
