"""The page that all reports are made of."""

import re

from pagehint.report.page import filled_page, html_table, html_tables, section


def test_no_line_ends_between_a_figure_and_its_unit() -> None:
    """On a phone "2" stood at a line's end, and "s" on the next."""
    texts = ["delay 2 s, 9.5 % of 1,023 MiB", "0.3 GiB·min", "4 KiB pages", "5 runs", "32 blocks", "12 us", "3 small"]
    body = section(texts[2], html_table(["", texts[3]], [[texts[4], texts[5]]]))
    page = filled_page(texts[0], texts[1], "one\ntwo", [texts[6]], [], [body], {})
    shown = page[page.index("<body>") : page.index("<script>")]
    for text in ("delay 2\u00a0s, 9.5\u00a0% of 1,023\u00a0MiB", "0.3\u00a0GiB·min", "4\u00a0KiB pages", "12\u00a0us"):
        assert text in shown
    for text in ("5 runs", "32 blocks", "3 small", '<p class="lead">one</p>\n<p class="lead">two</p>'):
        assert text in shown


def test_a_path_in_a_table_of_words_breaks_at_its_slashes() -> None:
    """A command broke in the middle of a word: compact_memor/y."""
    assert "/<wbr>proc/<wbr>x &lt;</td>" in html_table(["command"], [["/proc/x <"]], "words")
    assert "vm.high_<wbr>fraction=<wbr>9&#x27;</td>" in html_table(["command"], [["vm.high_fraction=9'"]], "words")
    assert "<td>/proc/x</td>" in html_table(["command"], [["/proc/x"]])


def test_a_table_of_many_columns_is_several() -> None:
    """Of 13 runs the last were cut off on paper, and what a row is stood a word a line."""
    head = ["", *(f"run {number}" for number in range(13))]
    rows = [["faults", *map(str, range(13))], ["blocks", *map(str, range(13))]]
    tables = html_tables(head, rows).split("</table>")[:-1]
    assert [len(re.findall("<th>", each)) for each in tables] == [7, 8]
    assert [re.findall("<td>([^<]*)", each)[0] for each in tables] == ["faults", "faults"]
    cells = [cell for each in tables for cell in re.findall("<td>([0-9]+)", each)]
    assert sorted(cells, key=int) == sorted(2 * [str(number) for number in range(13)], key=int)
    assert html_tables(head[:8], [row[:8] for row in rows]) == html_table(head[:8], [row[:8] for row in rows])
    assert html_tables([""], [["a"]]) == html_table([""], [["a"]])
