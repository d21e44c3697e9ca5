//! What can be wrong with a template: when it is compiled, and when it is rendered.

use std::fmt;

/// A template that does not compile. It never will: the definition has to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{site}: {problem}")]
pub struct CompileError {
    /// Where.
    pub site: Box<Site>,
    /// What was found, and what to do.
    #[source]
    pub problem: Problem,
}

/// A template that cannot be rendered with this scope. With the same scope it never can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{site}: {fault}")]
pub struct EvalError {
    /// Where.
    pub site: Box<Site>,
    /// What was found, and what to do.
    #[source]
    pub fault: Fault,
}

/// A place in a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Inside a JSON document, the JSON Pointer (RFC 6901) of the string; else empty.
    pub pointer: String,
    /// The expression, shortened; the whole template where no single expression is at fault.
    pub expression: String,
    /// Where the expression begins in its string, counted in characters from 1.
    pub column: usize,
}

impl Site {
    /// A place, with an expression of any length.
    pub(super) fn new(expression: &str, column: usize) -> Self {
        Site { pointer: String::new(), expression: shorten(expression), column }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "at {}: ", self.pointer)?;
        }
        write!(f, "`{}` (column {})", self.expression, self.column)
    }
}

/// At most 60 characters of one line: messages end in conditions, which are short.
pub(super) fn shorten(text: &str) -> String {
    const MAX: usize = 60;
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().nth(MAX).is_none() {
        return text.chars().map(printable).collect();
    }
    text.chars().take(MAX - 3).map(printable).chain("...".chars()).collect()
}

/// Why a template does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// `${` without its `}`.
    #[error("`${{` has no closing `}}`; write `$${{` for a literal `${{`")]
    Unclosed,
    /// A text in quotes that does not end.
    #[error("the text that begins at column {0} has no closing quote")]
    UnclosedText(usize),
    /// `${}`.
    #[error("the expression is empty; write for example `${{input.orderId}}`")]
    Empty,
    /// A template that is not what its field asks for.
    #[error("exactly one `${{...}}` is expected and nothing beside it")]
    NotOneExpression,
    /// A limit of [`super::limit`].
    #[error("{what} is limited to {limit}; {hint}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The way out.
        hint: &'static str,
    },
    /// Not CEL.
    #[error("not a valid CEL expression: {0}")]
    Syntax(String),
    /// A part of CEL that is left out here.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A root variable that does not exist here.
    #[error("unknown variable `{name}`; known here: {known}{hint}")]
    UnknownVariable {
        /// The name found.
        name: String,
        /// The names allowed.
        known: String,
        /// More about a name that is known elsewhere.
        hint: &'static str,
    },
    /// A field of `run`, `call`, `response` or a step that does not exist.
    #[error("`{parent}` has no field `{name}`; it has {known}")]
    UnknownField {
        /// The variable.
        parent: String,
        /// The name found.
        name: String,
        /// The names allowed.
        known: &'static str,
    },
    /// Steps that are known only when the expression runs.
    #[error("outputs must be named: `steps.<name>.outputs.<output>`; the step cannot be computed")]
    DynamicStep,
    /// A function that does not exist.
    #[error("unknown function `{name}`; known: {known}")]
    UnknownFunction {
        /// The name found.
        name: String,
        /// The names allowed.
        known: String,
    },
    /// A function called in another form than its own.
    #[error("write `{0}`")]
    FunctionForm(&'static str),
    /// A comprehension inside the body of another.
    #[error(
        "`map`, `filter`, `all`, `exists` and `exists_one` cannot be inside one another; chain them: `l.filter(x, ...).map(x, ...)`"
    )]
    NestedComprehension,
    /// A variable of a comprehension that hides a root variable.
    #[error("`{0}` is a variable already; choose another name inside the comprehension")]
    HiddenVariable(String),
    /// A regular expression that does not compile.
    #[error("the regular expression is not valid or too large; the syntax is RE2's, and repetitions count in full")]
    Pattern,
    /// A URL that is not usable.
    #[error("{0}")]
    Url(&'static str),
}

/// Why a template cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A map without the member.
    #[error("there is no `{0}`; test with `has(...)` if it is optional")]
    NoMember(String),
    /// A map without a computed key; the key is a value and not told.
    #[error("there is no member with this key; test with `key in map` if it is optional")]
    NoKey,
    /// A member of something that is not a map.
    #[error("`{member}` was asked of {found}, which is not a map")]
    NotAMap {
        /// The member.
        member: String,
        /// The type found.
        found: &'static str,
    },
    /// A list that is too short.
    #[error("the index is outside of the list, which has {0} elements")]
    OutOfBounds(usize),
    /// An operator with types that it does not work on.
    #[error("`{operator}` does not work on {left} and {right}{hint}")]
    Operator {
        /// The operator.
        operator: &'static str,
        /// The type on its left.
        left: &'static str,
        /// The type on its right.
        right: &'static str,
        /// A conversion that helps.
        hint: &'static str,
    },
    /// Another type than the place asks for.
    #[error("{place} must be {wanted}, but is {found}")]
    Type {
        /// The place.
        place: &'static str,
        /// The type wanted.
        wanted: &'static str,
        /// The type found.
        found: &'static str,
    },
    /// A text that is not the number or bool asked for.
    #[error("the value cannot be converted by `{0}(...)`")]
    Conversion(&'static str),
    /// A result outside of its type.
    #[error("the result of `{0}` is too large for its type")]
    Overflow(&'static str),
    /// A division or remainder by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A map literal with the same key twice.
    #[error("a key of the map is there twice")]
    DuplicateKey,
    /// NaN or infinite: JSON has no such number.
    #[error("the result is not a finite number, which JSON cannot hold")]
    NotFinite,
    /// Null where text is joined.
    #[error("the value is null and cannot be part of a text; use `has(...)` or `!= null` with `? :`")]
    Null,
    /// A variable that has no value at this place.
    #[error("`{0}` has no value here")]
    Unavailable(&'static str),
    /// A limit of [`super::limit`].
    #[error("{what} is limited to {limit}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Characters that end a header or a request line.
    #[error("the value holds control characters")]
    Control,
    /// A header value outside of ASCII.
    #[error("the value holds characters outside of ASCII, which a header cannot carry")]
    NotAscii,
    /// A value that is empty where a path segment would vanish.
    #[error("the value leaves a path segment of the URL empty")]
    EmptySegment,
    /// A value that would leave its place in the path.
    #[error("the value would change the path of the URL (`.`, `..` or `//`)")]
    PathEscape,
}
