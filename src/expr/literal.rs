//! Text literals, read here and kept away from the parser.
//!
//! The `cel` crate's grammar knows every form of text, but its reader of them (0.13) keeps the backslash of `"\'"`,
//! takes `r'\'` for a quote, and cannot read triple quotes. So the parser sees numbers in quotes in their place.

use crate::expr::error::Problem;
use crate::expr::lex::{self, Kind};

/// A source whose texts are replaced by `'0'`, `'1'`...
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The source for the parser.
    pub(super) source: String,
    /// The values of the texts.
    pub(super) values: Vec<String>,
    /// For each text, the character in the new source after which columns differ, and by how many characters.
    shifts: Vec<(usize, isize)>,
}

impl Texts {
    /// Takes the texts out of `source`.
    ///
    /// # Errors
    /// An escape that CEL does not have.
    pub(super) fn take(source: &str) -> Result<Self, Problem> {
        let mut texts = Texts::default();
        let mut copied = 0;
        let mut at = 0;
        let mut shift = 0isize;
        while let Some(token) = lex::next(source, at) {
            at = token.end;
            if token.kind != Kind::Text {
                continue;
            }
            let text = &source[token.start..token.end];
            texts.source.push_str(&source[copied..token.start]);
            copied = token.end;
            let placeholder = format!("'{}'", texts.values.len());
            shift += text.chars().count() as isize - placeholder.len() as isize;
            texts.source.push_str(&placeholder);
            texts.shifts.push((texts.source.chars().count(), shift));
            texts.values.push(read(text).ok_or_else(|| {
                let column = source[..token.start].chars().count() + 1;
                Problem::Syntax(format!("the text at character {column} of it has an escape that CEL does not know"))
            })?);
        }
        texts.source.push_str(&source[copied..]);
        Ok(texts)
    }

    /// The value of a literal that the parser has read.
    pub(super) fn value(&self, placeholder: &str) -> Option<&str> {
        placeholder.parse::<usize>().ok().and_then(|i| self.values.get(i)).map(String::as_str)
    }

    /// Where a character of the new source is in the old one; both from 1.
    pub(super) fn column(&self, column: usize) -> usize {
        let shift = self.shifts.iter().rev().find(|(from, _)| column > *from).map_or(0, |(_, shift)| *shift);
        column.saturating_add_signed(shift)
    }
}

/// The value of a literal with its quotes.
fn read(literal: &str) -> Option<String> {
    let (raw, quoted) = match literal.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, literal),
    };
    let width = if quoted.len() >= 6 && (quoted.starts_with("'''") || quoted.starts_with("\"\"\"")) { 3 } else { 1 };
    let inner = quoted.get(width..quoted.len().checked_sub(width)?)?;
    if raw {
        return Some(inner.to_owned());
    }
    let mut value = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        value.push(if c == '\\' { escape(&mut characters)? } else { c });
    }
    Some(value)
}

/// The character that an escape stands for, after its backslash.
fn escape(characters: &mut std::str::Chars<'_>) -> Option<char> {
    let (digits, radix, first) = match characters.next()? {
        'a' => return Some('\u{7}'),
        'b' => return Some('\u{8}'),
        'f' => return Some('\u{c}'),
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'v' => return Some('\u{b}'),
        c @ ('\\' | '?' | '"' | '\'' | '`') => return Some(c),
        'x' | 'X' => (2, 16, 0),
        'u' => (4, 16, 0),
        'U' => (8, 16, 0),
        c @ '0'..='3' => (2, 8, c.to_digit(8)?),
        _ => return None,
    };
    let mut code = first;
    for _ in 0..digits {
        code = code.checked_mul(radix)?.checked_add(characters.next()?.to_digit(radix)?)?;
    }
    char::from_u32(code)
}
