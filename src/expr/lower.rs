//! From the parser's tree to [`Node`]: names resolved, macros recognised, everything else refused.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::parser::Expression;

use crate::expr::error::Problem;
use crate::expr::function::{self, Function};
use crate::expr::literal::Texts;
use crate::expr::node::{Binary, Body, Comprehension, Member, Node, Root, StepOutput};
use crate::expr::{Reference, Variables, limit, pattern};

/// Turns a parsed expression into a [`Node`] and the outputs that it reads.
///
/// # Errors
/// Unknown variables, fields, functions; computed steps; nested comprehensions; limits.
pub(super) fn lower<'e>(
    expression: &'e Expression,
    texts: &'e Texts,
    variables: Variables,
) -> Result<(Node, Vec<Reference>), Problem> {
    let mut lowering = Lowering { variables, texts, references: Vec::new(), nodes: 0, local: None };
    let node = lowering.node(expression, 0)?;
    lowering.references.sort();
    lowering.references.dedup();
    Ok((node, lowering.references))
}

struct Lowering<'e> {
    variables: Variables,
    texts: &'e Texts,
    references: Vec<Reference>,
    nodes: usize,
    /// The variable of the comprehension whose body is being read.
    local: Option<&'e str>,
}

impl<'e> Lowering<'e> {
    fn node(&mut self, expression: &'e Expression, depth: usize) -> Result<Node, Problem> {
        const HINT: &str = "simplify it, or split it over several fields";
        self.nodes += 1;
        if self.nodes > limit::NODES {
            return Err(Problem::TooLarge {
                what: "the size of an expression in nodes",
                limit: limit::NODES,
                hint: HINT,
            });
        }
        if depth > limit::EXPRESSION_DEPTH {
            let what = "the depth of an expression (also a chain `a + b + ...` is deep)";
            return Err(Problem::TooLarge { what, limit: limit::EXPRESSION_DEPTH, hint: HINT });
        }
        if let Some(node) = self.step_output(expression)? {
            return Ok(node);
        }
        let depth = depth + 1;
        match &expression.expr {
            Expr::Literal(literal) => self.literal(literal),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                check_field(&select.operand, &select.field)?;
                let operand = self.node(&select.operand, depth)?;
                let member = Box::new(Member { operand, name: select.field.as_str().into() });
                Ok(if select.test { Node::Has(member) } else { Node::Select(member) })
            }
            Expr::Call(call) => self.call(call, depth),
            Expr::List(list) if list.optional_indices.is_empty() => {
                Ok(Node::List(list.elements.iter().map(|e| self.node(e, depth)).collect::<Result<_, _>>()?))
            }
            Expr::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(e) if !e.optional => {
                            entries.push((self.node(&e.key, depth)?, self.node(&e.value, depth)?));
                        }
                        EntryExpr::MapEntry(_) | EntryExpr::StructField(_) => return Err(OPTIONALS),
                    }
                }
                Ok(Node::Map(entries))
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, depth),
            Expr::Struct(_) => Err(Problem::Unsupported("messages are not supported; write a map: `{'name': value}`")),
            Expr::List(_) => Err(OPTIONALS),
            Expr::Unspecified => Err(Problem::Syntax("a part of it is missing".to_owned())),
        }
    }

    fn variable(&self, name: &str) -> Result<Node, Problem> {
        if self.local == Some(name) {
            return Ok(Node::Local);
        }
        let mut hint = "";
        match (name, self.variables) {
            ("input", _) => return Ok(Node::Root(Root::Input)),
            ("run", _) => return Ok(Node::Root(Root::Run)),
            ("call", Variables::Request | Variables::Response) => return Ok(Node::Root(Root::Call)),
            ("response", Variables::Response) => return Ok(Node::Root(Root::Response)),
            ("response", Variables::Request) => hint = " (there is no response before the call)",
            ("steps", _) => return Err(Problem::DynamicStep),
            (_, _) => {}
        }
        let known = match self.variables {
            Variables::Run => "input, steps, run",
            Variables::Request => "input, steps, run, call",
            Variables::Response => "input, steps, run, call, response",
        };
        Err(Problem::UnknownVariable { name: name.to_owned(), known: known.to_owned(), hint })
    }

    /// `steps.a.outputs` and `steps.a.outputs.b`, in any spelling (`steps['a']`), or nothing.
    fn step_output(&mut self, expression: &'e Expression) -> Result<Option<Node>, Problem> {
        let Some(path) = self.step_path(expression) else { return Ok(None) };
        let test = matches!(&expression.expr, Expr::Select(select) if select.test);
        let (step, output) = match path[..] {
            [_] => return Err(Problem::DynamicStep),
            [step, "outputs"] => (step, None),
            [step, "outputs", output] => (step, Some(output)),
            [step, field, ..] if field != "outputs" => {
                let parent = format!("steps.{step}");
                return Err(Problem::UnknownField { parent, name: field.to_owned(), known: "outputs" });
            }
            // A member of an output: its operand is the output.
            _ => return Ok(None),
        };
        self.references.push(Reference { step: step.to_owned(), output: output.map(str::to_owned) });
        Ok(Some(match output {
            None if test => return Err(Problem::Unsupported("test one output: `has(steps.<name>.outputs.<output>)`")),
            None => Node::Outputs(step.into()),
            Some(output) => {
                let output = Box::new(StepOutput { step: step.into(), output: output.into() });
                if test { Node::HasOutput(output) } else { Node::Output(output) }
            }
        }))
    }

    fn call(&mut self, call: &'e CallExpr, depth: usize) -> Result<Node, Problem> {
        match (call.func_name.as_str(), &call.target, &call.args[..]) {
            (operators::CONDITIONAL, None, [condition, then, otherwise]) => Ok(Node::If(Box::new([
                self.node(condition, depth)?,
                self.node(then, depth)?,
                self.node(otherwise, depth)?,
            ]))),
            (operators::LOGICAL_NOT, None, [operand]) => Ok(Node::Not(Box::new(self.node(operand, depth)?))),
            (operators::NEGATE, None, [operand]) => Ok(Node::Negate(Box::new(self.node(operand, depth)?))),
            (operators::INDEX, None, [operand, index]) => {
                if let Some(field) = self.text(index) {
                    check_field(operand, field)?;
                }
                Ok(Node::Index(Box::new([self.node(operand, depth)?, self.node(index, depth)?])))
            }
            (operators::LOGICAL_AND, None, [left, right]) => {
                Ok(Node::And(Box::new([self.node(left, depth)?, self.node(right, depth)?])))
            }
            (operators::LOGICAL_OR, None, [left, right]) => {
                Ok(Node::Or(Box::new([self.node(left, depth)?, self.node(right, depth)?])))
            }
            (name, None, [left, right]) if binary(name).is_some() => {
                let operator = binary(name).unwrap_or(Binary::Equal);
                Ok(Node::Binary(operator, Box::new([self.node(left, depth)?, self.node(right, depth)?])))
            }
            (name, target, arguments) => {
                let function = function::find(name, target.is_some(), arguments.len())?;
                let all = target.as_deref().into_iter().chain(arguments);
                let nodes = all.map(|node| self.node(node, depth)).collect::<Result<Vec<_>, _>>()?;
                if function == Function::Matches {
                    pattern::check(nodes.get(1))?;
                }
                Ok(Node::Call(function, nodes))
            }
        }
    }

    fn comprehension(&mut self, comprehension: &'e ComprehensionExpr, depth: usize) -> Result<Node, Problem> {
        let range = self.node(&comprehension.iter_range, depth)?;
        if self.local.is_some() {
            return Err(Problem::NestedComprehension);
        }
        let name = comprehension.iter_var.as_str();
        if matches!(name, "input" | "steps" | "run" | "call" | "response") {
            return Err(Problem::HiddenVariable(name.to_owned()));
        }
        let shape = shape(comprehension).ok_or(Problem::Unsupported("this macro is not supported"))?;
        self.local = Some(name);
        let body = match shape {
            Shape::All(test) => self.node(test, depth).map(Body::All),
            Shape::Exists(test) => self.node(test, depth).map(Body::Exists),
            Shape::ExistsOne(test) => self.node(test, depth).map(Body::ExistsOne),
            Shape::Map(keep, transform) => keep
                .map(|keep| self.node(keep, depth))
                .transpose()
                .and_then(|keep| Ok(Body::Map { keep, transform: self.node(transform, depth)? })),
        };
        self.local = None;
        Ok(Node::Comprehension(Box::new(Comprehension { range, body: body? })))
    }

    fn literal(&self, literal: &LiteralValue) -> Result<Node, Problem> {
        Ok(match literal {
            LiteralValue::Null => Node::Null,
            LiteralValue::Boolean(value) => Node::Bool(*value.inner()),
            LiteralValue::Int(value) => Node::Int(*value.inner()),
            LiteralValue::UInt(value) => Node::Uint(*value.inner()),
            LiteralValue::Double(value) => Node::Double(*value.inner()),
            LiteralValue::String(value) => Node::Text(self.texts.value(value.inner()).unwrap_or_default().into()),
            LiteralValue::Bytes(_) => return Err(Problem::Unsupported("bytes are not supported; use a text")),
        })
    }

    /// The value of a text literal.
    fn text(&self, expression: &Expression) -> Option<&'e str> {
        let Expr::Literal(LiteralValue::String(value)) = &expression.expr else { return None };
        self.texts.value(value.inner())
    }

    /// The names after `steps`, outermost last; nothing where it is no chain of literal names from `steps`.
    fn step_path(&self, expression: &'e Expression) -> Option<Vec<&'e str>> {
        let (operand, name) = if let Expr::Select(select) = &expression.expr {
            (&*select.operand, select.field.as_str())
        } else if let Expr::Call(call) = &expression.expr {
            let (operators::INDEX, [operand, index]) = (call.func_name.as_str(), &call.args[..]) else { return None };
            (operand, self.text(index)?)
        } else {
            return (expression.expr == Expr::Ident("steps".to_owned())).then(Vec::new);
        };
        let mut path = self.step_path(operand)?;
        path.push(name);
        Some(path)
    }
}

const OPTIONALS: Problem = Problem::Unsupported("optional values are not supported; use `has(...)` with `? :`");

/// Refuses fields that `run`, `call` and `response` do not have.
fn check_field(operand: &Expression, field: &str) -> Result<(), Problem> {
    if let Expr::Select(select) = &operand.expr
        && select.field == "headers"
        && select.operand.expr == Expr::Ident("response".to_owned())
        && field.bytes().any(|b| b.is_ascii_uppercase())
    {
        return Err(Problem::Unsupported("the names of response headers are in lower case"));
    }
    let Expr::Ident(variable) = &operand.expr else { return Ok(()) };
    let fields: &[&str] = match variable.as_str() {
        "run" => &["name", "namespace", "uid", "startTime"],
        "call" => &["key", "forwardKey", "direction"],
        "response" => &["status", "headers", "body"],
        _ => return Ok(()),
    };
    if fields.contains(&field) {
        return Ok(());
    }
    let known = match fields.len() {
        4 => "name, namespace, uid, startTime",
        _ if variable == "call" => "key, forwardKey, direction",
        _ => "status, headers, body",
    };
    Err(Problem::UnknownField { parent: variable.clone(), name: field.to_owned(), known })
}

fn binary(name: &str) -> Option<Binary> {
    Some(match name {
        operators::ADD => Binary::Add,
        operators::SUBSTRACT => Binary::Subtract,
        operators::MULTIPLY => Binary::Multiply,
        operators::DIVIDE => Binary::Divide,
        operators::MODULO => Binary::Modulo,
        operators::EQUALS => Binary::Equal,
        operators::NOT_EQUALS => Binary::NotEqual,
        operators::LESS => Binary::Less,
        operators::LESS_EQUALS => Binary::LessEqual,
        operators::GREATER => Binary::Greater,
        operators::GREATER_EQUALS => Binary::GreaterEqual,
        operators::IN => Binary::In,
        _ => return None,
    })
}

/// The macros, which the parser has turned into folds over `@result`; no source can spell that name.
enum Shape<'e> {
    All(&'e Expression),
    Exists(&'e Expression),
    ExistsOne(&'e Expression),
    Map(Option<&'e Expression>, &'e Expression),
}

fn shape(comprehension: &ComprehensionExpr) -> Option<Shape<'_>> {
    let Expr::Call(step) = &comprehension.loop_step.expr else { return None };
    match (step.func_name.as_str(), &step.args[..]) {
        (operators::LOGICAL_AND, [_, test]) => Some(Shape::All(test)),
        (operators::LOGICAL_OR, [_, test]) => Some(Shape::Exists(test)),
        (operators::ADD, [_, element]) => Some(Shape::Map(None, only(element)?)),
        (operators::CONDITIONAL, [test, then, _]) => {
            let Expr::Call(then) = &then.expr else { return None };
            let [_, added] = &then.args[..] else { return None };
            if matches!(comprehension.accu_init.expr, Expr::List(_)) {
                return Some(Shape::Map(Some(test), only(added)?));
            }
            Some(Shape::ExistsOne(test))
        }
        _ => None,
    }
}

/// The element of a list of one.
fn only(list: &Expression) -> Option<&Expression> {
    let Expr::List(list) = &list.expr else { return None };
    let [element] = &list.elements[..] else { return None };
    Some(element)
}
