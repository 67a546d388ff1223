"""The files of a run on a text."""

from seqgnn.experiments.runs.text_directory import samples_table


def test_samples_table_escapes_backticks_and_control_characters():
    line = {"step": 1, "how": "greedy", "length": 9, "prompt": "", "text": "``x`` \t\x0b|"}
    assert "| 1 | ``` ``x`` ⇥�\\| ``` |" in samples_table([line], "x")


def test_samples_table_has_rows_of_steps_and_columns_of_lengths():
    lines = [
        {"step": step, "how": "greedy", "length": length, "prompt": "x", "text": "a|b\n`c"[:length]}
        for step in (5, 10)
        for length in (3, 6)
    ]
    assert samples_table(lines, "lstm on a book") == (
        "# Samples over training\n\nlstm on a book, continuing `` x ``.\n\n"
        "## greedy\n\n| step | 3 | 6 |\n|---|---|---|\n"
        "| 5 | `` a\\|b `` | `` a\\|b↵`c `` |\n| 10 | `` a\\|b `` | `` a\\|b↵`c `` |\n"
    )
