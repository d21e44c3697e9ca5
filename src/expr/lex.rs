//! The tokens of CEL, as coarse as counting brackets needs: texts, words, symbols.

/// A token and its bytes in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text in quotes.
    Text,
    /// Bytes in quotes: `b'...'`.
    Bytes,
    /// A text or bytes without the closing quote.
    Unclosed,
    /// An identifier, keyword or number.
    Word,
    /// An operator of one or two characters, a bracket, a dot.
    Symbol(&'static str),
    /// A character that has no place in CEL outside of a text.
    Foreign,
}

/// Reads the token at or after the byte `from`, past spaces and comments.
pub(super) fn next(source: &str, from: usize) -> Option<Token> {
    let bytes = source.as_bytes();
    let mut start = from;
    loop {
        match bytes.get(start)? {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0c => start += 1,
            b'/' if bytes.get(start + 1) == Some(&b'/') => {
                start += bytes[start..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - start);
            }
            _ => break,
        }
    }
    let rest = &source[start..];
    let word = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    let token = |kind, length| Some(Token { kind, start, end: start + length });
    if matches!(rest.as_bytes().get(word), Some(b'"' | b'\'')) {
        match rest[..word].to_ascii_lowercase().as_str() {
            "" => return text(rest, 0, false).map_or(token(Kind::Unclosed, 1), |end| token(Kind::Text, end)),
            "r" => return text(rest, 1, true).map_or(token(Kind::Unclosed, 2), |end| token(Kind::Text, end)),
            prefix @ ("b" | "br" | "rb") => {
                return text(rest, word, prefix.len() == 2)
                    .map_or(token(Kind::Unclosed, word + 1), |end| token(Kind::Bytes, end));
            }
            _ => {}
        }
    }
    if word > 0 {
        return token(Kind::Word, word);
    }
    for symbol in SYMBOLS {
        if rest.starts_with(symbol) {
            return token(Kind::Symbol(symbol), symbol.len());
        }
    }
    token(Kind::Foreign, rest.chars().next().map_or(1, char::len_utf8))
}

/// Longer ones first.
const SYMBOLS: [&str; 27] = [
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", "+", "-", "*", "/", "%", "<", ">", "!", "?", ":",
    ".", ",", "=", "&", "|",
];

/// The end of the text whose quote is at the byte `at`, or nothing where it does not end.
fn text(source: &str, at: usize, raw: bool) -> Option<usize> {
    let bytes = source.as_bytes();
    let quote = *bytes.get(at)?;
    let triple = bytes.get(at + 1) == Some(&quote) && bytes.get(at + 2) == Some(&quote);
    let mut i = if triple { at + 3 } else { at + 1 };
    loop {
        match *bytes.get(i)? {
            b'\\' if !raw => i += 2,
            b'\n' | b'\r' if !triple => return None,
            b if b == quote && !triple => return Some(i + 1),
            b if b == quote && bytes.get(i + 1) == Some(&quote) && bytes.get(i + 2) == Some(&quote) => {
                return Some(i + 3);
            }
            _ => i += 1,
        }
    }
}
