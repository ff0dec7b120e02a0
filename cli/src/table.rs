//! Tables for people: aligned columns, no borders, everything escaped.

use comfy_table::{CellAlignment, Table, presets};

use crate::output::escape;

/// Which way a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Names and words.
    Left,
    /// Numbers.
    Right,
}

/// Lays out rows under headings; lines have no trailing blanks.
pub(crate) fn table(headings: &[(&str, Align)], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.add_row(row.into_iter().map(|cell| escape(&cell)));
    }
    for (column, (_, align)) in table.column_iter_mut().zip(headings) {
        column.set_padding((0, 2));
        if *align == Align::Right {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_cells_are_escaped() {
        let text = table(
            &[("NAME", Align::Left), ("TASKS", Align::Right)],
            vec![vec!["word-count".into(), "12".into()], vec!["a\u{1b}".into(), "3".into()]],
        );
        assert_eq!(text, "NAME        TASKS\nword-count     12\na\\u{1b}         3");
    }
}
