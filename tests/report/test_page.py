"""The page that all reports are made of."""

from pagehint.report.page import filled_page, html_table, section


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
    assert "<td>/proc/x</td>" in html_table(["command"], [["/proc/x"]])
