//! Text of an input from the cells of a row: one column, several with their names, or a template.

use anyhow::{Context, bail};
use csv::StringRecord;

use crate::types::did_you_mean;

/// Choice of the cells that are the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextChoice {
    /// `text`, `input`, or the only column.
    Usual,
    /// Columns with these names. Several are written as `name: cell`, one per line.
    Columns(Vec<String>),
    /// Text with `{column}` for the cell of a column.
    Template(String),
}

/// Part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// Cell of the column at this position.
    Cell(usize),
}

/// Parts that make up the text of each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowText(Vec<Part>);

impl RowText {
    /// Finds the columns in the header.
    ///
    /// # Errors
    /// If there is no such column, or the template is not valid.
    pub fn new(choice: &TextChoice, header: &StringRecord) -> anyhow::Result<Self> {
        match choice {
            TextChoice::Usual => Ok(Self(vec![Part::Cell(usual_column(header)?)])),
            TextChoice::Columns(names) => {
                let mut parts = Vec::new();
                for name in names {
                    let position = column(header, "--text-column", name)?;
                    if names.len() > 1 {
                        let separator = if parts.is_empty() { "" } else { "\n" };
                        parts.push(Part::Literal(format!("{separator}{name}: ")));
                    }
                    parts.push(Part::Cell(position));
                }
                Ok(Self(parts))
            }
            TextChoice::Template(template) => parse_template(template, header).map(Self),
        }
    }

    /// Returns the text of a row.
    pub fn of_row(&self, row: &StringRecord) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Literal(text) => text,
            Part::Cell(position) => row.get(*position).unwrap_or_default(),
        });
        parts.collect()
    }

    /// Returns true if the cell at this position is part of the text.
    pub fn has(&self, position: usize) -> bool {
        self.0.contains(&Part::Cell(position))
    }
}

/// Returns the position of a column that a flag names.
///
/// # Errors
/// If there is no such column.
pub fn column(header: &StringRecord, flag: &str, name: &str) -> anyhow::Result<usize> {
    let position = header.iter().position(|column| column == name);
    position.with_context(|| {
        format!(
            "line 1: there is no column `{name}` ({flag});{} the columns are {}",
            did_you_mean(name, header.iter()),
            listed(header)
        )
    })
}

fn usual_column(header: &StringRecord) -> anyhow::Result<usize> {
    let named = |name: &str| header.iter().position(|column| column == name);
    let only = || (header.len() == 1).then_some(0);
    named("text")
        .or_else(|| named("input"))
        .or_else(only)
        .with_context(|| {
            format!(
                "line 1: the column with the text is not clear; set it with --text-column; the columns are {}",
                listed(header)
            )
        })
}

/// Returns the names of the columns for messages.
fn listed(header: &StringRecord) -> String {
    let names: Vec<_> = header.iter().map(|column| format!("`{column}`")).collect();
    names.join(", ")
}

/// Parses a template: `{column}` is a cell, `{{` and `}}` are braces, and `\n`, `\t` and `\\` are a line break, a tab and a
/// backslash.
fn parse_template(template: &str, header: &StringRecord) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.next_if_eq(&c).is_some() => literal.push(c),
            '{' => {
                let name: String = std::iter::from_fn(|| chars.next_if(|c| *c != '}')).collect();
                if chars.next().is_none() {
                    bail!("--template: a `}}` is missing after `{{{name}`");
                }
                let position = column(header, "--template", &name)?;
                parts.push(Part::Literal(std::mem::take(&mut literal)));
                parts.push(Part::Cell(position));
            }
            '}' => bail!("--template: a `}}` has no `{{` before it; write a brace as `}}}}`"),
            '\\' => match chars.next() {
                Some('n') => literal.push('\n'),
                Some('t') => literal.push('\t'),
                Some('\\') | None => literal.push('\\'),
                Some(other) => literal.extend(['\\', other]),
            },
            c => literal.push(c),
        }
    }
    parts.push(Part::Literal(literal));
    if !parts.iter().any(|part| matches!(part, Part::Cell(_))) {
        bail!(
            "--template: it names no column; write a column's name in braces, such as {{{}}}",
            header.get(0).unwrap_or_default()
        );
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(choice: &TextChoice) -> Result<String, String> {
        let header = StringRecord::from(vec!["subject", "body", "from"]);
        let row = StringRecord::from(vec!["Hello {body}", "a\nb", "Ada"]);
        let text = RowText::new(choice, &header).map_err(|error| format!("{error:#}"))?;
        Ok(text.of_row(&row))
    }

    fn template(text: &str) -> TextChoice {
        TextChoice::Template(text.to_owned())
    }

    #[test]
    fn the_text_is_made_of_the_chosen_cells() {
        let columns =
            |names: &[&str]| TextChoice::Columns(names.iter().map(|n| (*n).to_owned()).collect());
        for (choice, expected) in [
            (columns(&["body"]), "a\nb"),
            (
                columns(&["subject", "from"]),
                "subject: Hello {body}\nfrom: Ada",
            ),
            (
                template(r"Subject: {subject}\n{body}\t\\n"),
                "Subject: Hello {body}\na\nb\t\\n",
            ),
            (template(r"{{x}} {from}\d"), r"{x} Ada\d"),
        ] {
            assert_eq!(text(&choice).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_wrong_choice_is_rejected() {
        for (choice, expected) in [
            (TextChoice::Usual, "is not clear; set it with --text-column"),
            (
                TextChoice::Columns(vec!["bdy".to_owned()]),
                "no column `bdy` (--text-column); did you mean `body`?",
            ),
            (
                template("{Subject}"),
                "no column `Subject` (--template); did you mean `subject`?",
            ),
            (template("{subject"), "a `}` is missing"),
            (template("a } b {body}"), "has no `{` before it"),
            (
                template("no column"),
                "it names no column; write a column's name in braces, such as {subject}",
            ),
        ] {
            let error = text(&choice).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
