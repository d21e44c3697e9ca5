//! The tree that is evaluated: CEL with every name resolved and every macro recognised.

use crate::expr::function::Function;

/// An expression. At most [`super::limit::NODES`] nodes, at most [`super::limit::EXPRESSION_DEPTH`] levels.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
    /// A root variable.
    Root(Root),
    /// The variable of the comprehension around it; comprehensions do not nest, so there is one at most.
    Local,
    /// `steps.<step>.outputs`
    Outputs(Box<str>),
    /// `steps.<step>.outputs.<output>`
    Output(Box<StepOutput>),
    /// `has(steps.<step>.outputs.<output>)`
    HasOutput(Box<StepOutput>),
    Select(Box<Member>),
    /// `has(operand.name)`
    Has(Box<Member>),
    Index(Box<[Node; 2]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    /// `condition ? then : otherwise`
    If(Box<[Node; 3]>),
    Binary(Binary, Box<[Node; 2]>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Call(Function, Vec<Node>),
    Comprehension(Box<Comprehension>),
}

/// The root variables apart from `steps`, which only occurs as [`Node::Outputs`] and [`Node::Output`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Input,
    Run,
    Call,
    Response,
}

/// An output of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepOutput {
    pub(super) step: Box<str>,
    pub(super) output: Box<str>,
}

/// A member of a map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) operand: Node,
    pub(super) name: Box<str>,
}

/// Operators with two operands, both always evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
}

/// A loop over a list, or over the sorted keys of a map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comprehension {
    pub(super) range: Node,
    pub(super) body: Body,
}

/// What a comprehension does with each element.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    All(Node),
    Exists(Node),
    ExistsOne(Node),
    /// `map` and `filter`: the elements for which `keep` holds, transformed.
    Map {
        keep: Option<Node>,
        transform: Node,
    },
}
