//! The walk over a [`Node`].

use std::collections::BTreeMap;

use crate::expr::budget::Budget;
use crate::expr::error::Fault;
use crate::expr::node::{Body, Comprehension, Node, Root};
use crate::expr::scope::Scope;
use crate::expr::value::{Map, Value};
use crate::expr::{function, operator};

/// Evaluates a node over a scope.
///
/// # Errors
/// A [`Fault`]; the budget, at the latest.
pub(super) fn eval<'v>(node: &'v Node, scope: &'v Scope<'v>, budget: &mut Budget) -> Result<Value<'v>, Fault> {
    Evaluator { scope, budget, local: Value::Null }.eval(node)
}

struct Evaluator<'v, 'b> {
    scope: &'v Scope<'v>,
    budget: &'b mut Budget,
    /// The element at which the comprehension is.
    local: Value<'v>,
}

impl<'v> Evaluator<'v, '_> {
    fn eval(&mut self, node: &'v Node) -> Result<Value<'v>, Fault> {
        self.budget.spend(1)?;
        match node {
            Node::Null => Ok(Value::Null),
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Int(value) => Ok(Value::Int(*value)),
            Node::Uint(value) => Ok(Value::Uint(*value)),
            Node::Double(value) => Ok(Value::Double(*value)),
            Node::Text(text) => Ok(Value::text(text)),
            Node::Root(root) => self.root(*root),
            Node::Local => Ok(self.local.clone()),
            Node::Outputs(step) => Ok(self.outputs(step).map_or(Value::Null, |map| Value::Map(Map::Outputs(map)))),
            Node::Output(output) => Ok(self
                .outputs(&output.step)
                .and_then(|outputs| outputs.get(&*output.output))
                .map_or(Value::Null, Value::from)),
            Node::HasOutput(output) => {
                Ok(Value::Bool(self.outputs(&output.step).is_some_and(|outputs| outputs.contains_key(&*output.output))))
            }
            Node::Select(member) => self
                .member(&member.operand, &member.name)?
                .ok_or_else(|| Fault::NoMember(crate::expr::error::shorten(&member.name))),
            Node::Has(member) => Ok(Value::Bool(self.member(&member.operand, &member.name)?.is_some())),
            Node::Index(pair) => self.index(&pair[0], &pair[1]),
            Node::Not(operand) => {
                let value = self.eval(operand)?;
                Ok(Value::Bool(!truth(&value, "the operand of `!`")?))
            }
            Node::Negate(operand) => operator::negate(&self.eval(operand)?),
            Node::And(pair) => self.logic(pair, false),
            Node::Or(pair) => self.logic(pair, true),
            Node::If(parts) => {
                let condition = self.eval(&parts[0])?;
                self.eval(if truth(&condition, "the condition of `? :`")? { &parts[1] } else { &parts[2] })
            }
            Node::Binary(operator, pair) => {
                let left = self.eval(&pair[0])?;
                let right = self.eval(&pair[1])?;
                operator::apply(*operator, &left, &right, self.budget)
            }
            Node::List(nodes) => Ok(Value::list(self.all(nodes)?)),
            Node::Map(entries) => self.map(entries),
            Node::Call(function, nodes) => {
                let values = self.all(nodes)?;
                function::call(*function, &values, self.budget)
            }
            Node::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    fn all(&mut self, nodes: &'v [Node]) -> Result<Vec<Value<'v>>, Fault> {
        nodes.iter().map(|node| self.eval(node)).collect()
    }

    fn root(&mut self, root: Root) -> Result<Value<'v>, Fault> {
        let names: &[&'static str] = match root {
            Root::Input => return Ok(Value::from(self.scope.input)),
            Root::Run => &["name", "namespace", "uid", "startTime"],
            Root::Call => &["key", "forwardKey", "direction"],
            Root::Response => &["status", "headers", "body"],
        };
        self.budget.spend(names.len())?;
        let mut map = BTreeMap::new();
        for name in names {
            if let Some(value) = self.field(root, name)? {
                map.insert(Box::from(*name), value);
            }
        }
        Ok(Value::map(map))
    }

    /// A field of a root variable; the root itself is not made.
    fn field(&self, root: Root, name: &str) -> Result<Option<Value<'v>>, Fault> {
        let scope = self.scope;
        Ok(match root {
            Root::Input => member(&Value::from(scope.input), name)?,
            Root::Run => match name {
                "name" => Some(Value::text(scope.run.name)),
                "namespace" => Some(Value::text(scope.run.namespace)),
                "uid" => Some(Value::text(scope.run.uid)),
                "startTime" => Some(Value::text(scope.run.start_time)),
                _ => None,
            },
            Root::Call => {
                let call = scope.call.as_ref().ok_or(Fault::Unavailable("call"))?;
                match name {
                    "key" => Some(Value::text(call.key)),
                    "forwardKey" => Some(Value::text(call.forward_key)),
                    "direction" => Some(Value::text(call.direction)),
                    _ => None,
                }
            }
            Root::Response => {
                let response = scope.response.ok_or(Fault::Unavailable("response"))?;
                match name {
                    "status" => Some(Value::Int(i64::from(response.status))),
                    "headers" => Some(Value::Map(Map::Headers(&response.headers))),
                    "body" => Some(Value::from(&response.body)),
                    _ => None,
                }
            }
        })
    }

    fn outputs(&self, step: &str) -> Option<&'v BTreeMap<String, serde_json::Value>> {
        self.scope.steps.get(step).copied().flatten()
    }

    fn member(&mut self, operand: &'v Node, name: &str) -> Result<Option<Value<'v>>, Fault> {
        if let Node::Root(root) = operand {
            return self.field(*root, name);
        }
        member(&self.eval(operand)?, name)
    }

    fn index(&mut self, operand: &'v Node, index: &'v Node) -> Result<Value<'v>, Fault> {
        let operand = self.eval(operand)?;
        let index = self.eval(index)?;
        let at = match (&operand, &index) {
            (Value::Map(map), Value::Text(key)) => return map.get(key.as_str()).ok_or(Fault::NoKey),
            (Value::List(_), Value::Int(at)) => usize::try_from(*at).ok(),
            (Value::List(_), Value::Uint(at)) => usize::try_from(*at).ok(),
            (Value::Map(_), _) => {
                return Err(Fault::Type { place: "the key of a map", wanted: "a text", found: index.kind() });
            }
            (Value::List(_), _) => {
                return Err(Fault::Type { place: "the index of a list", wanted: "an int", found: index.kind() });
            }
            (_, _) => {
                return Err(Fault::Type {
                    place: "what `[...]` reads",
                    wanted: "a list or map",
                    found: operand.kind(),
                });
            }
        };
        let Value::List(list) = operand else { return Err(Fault::NoKey) };
        at.and_then(|at| list.get(at)).ok_or_else(|| Fault::OutOfBounds(list.len()))
    }

    /// `&&` and `||`: a side that decides wins, even over an error on the other side, as CEL demands.
    fn logic(&mut self, pair: &'v [Node; 2], decides: bool) -> Result<Value<'v>, Fault> {
        const PLACE: &str = "each side of `&&` and `||`";
        let left = self.eval(&pair[0]).and_then(|value| truth(&value, PLACE));
        if left == Ok(decides) || matches!(left, Err(Fault::TooLarge { .. })) {
            return left.map(Value::Bool);
        }
        let right = self.eval(&pair[1]).and_then(|value| truth(&value, PLACE))?;
        if right == decides { Ok(Value::Bool(decides)) } else { left.map(Value::Bool) }
    }

    fn map(&mut self, entries: &'v [(Node, Node)]) -> Result<Value<'v>, Fault> {
        // The smallest map takes half a KiB.
        self.budget.spend(64)?;
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let key = self.eval(key)?;
            let Value::Text(key) = &key else {
                return Err(Fault::Type { place: "a key of a map", wanted: "a text", found: key.kind() });
            };
            self.budget.spend_bytes(key.as_str().len())?;
            if map.insert(Box::from(key.as_str()), self.eval(value)?).is_some() {
                return Err(Fault::DuplicateKey);
            }
        }
        Ok(Value::map(map))
    }

    fn comprehension(&mut self, comprehension: &'v Comprehension) -> Result<Value<'v>, Fault> {
        let range = self.eval(&comprehension.range)?;
        let range = operator::range(range, self.budget)?;
        let mut made = Vec::new();
        let mut count = 0u32;
        // An error counts only where no later element decides.
        let mut failed = None;
        for element in range.iter() {
            self.budget.spend(1)?;
            self.local = element;
            match &comprehension.body {
                Body::All(test) => match self.test(test) {
                    Ok(true) => {}
                    Ok(false) => return Ok(Value::Bool(false)),
                    Err(fault) => failed = failed.or(Some(fault)),
                },
                Body::Exists(test) => match self.test(test) {
                    Ok(true) => return Ok(Value::Bool(true)),
                    Ok(false) => {}
                    Err(fault) => failed = failed.or(Some(fault)),
                },
                Body::ExistsOne(test) => count += u32::from(self.test(test)?),
                Body::Map { keep, transform } => {
                    let kept = match keep {
                        Some(keep) => self.test(keep)?,
                        None => true,
                    };
                    if kept {
                        made.push(self.eval(transform)?);
                    }
                }
            }
        }
        match (failed, &comprehension.body) {
            (Some(fault), _) => Err(fault),
            (None, Body::All(_)) => Ok(Value::Bool(true)),
            (None, Body::Exists(_)) => Ok(Value::Bool(false)),
            (None, Body::ExistsOne(_)) => Ok(Value::Bool(count == 1)),
            (None, Body::Map { .. }) => Ok(Value::list(made)),
        }
    }

    fn test(&mut self, node: &'v Node) -> Result<bool, Fault> {
        truth(&self.eval(node)?, "the test of a comprehension")
    }
}

/// A member of a map, or nothing where it has none.
fn member<'v>(operand: &Value<'v>, name: &str) -> Result<Option<Value<'v>>, Fault> {
    match operand {
        Value::Map(map) => Ok(map.get(name)),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_)
        | Value::Text(_)
        | Value::List(_) => Err(Fault::NotAMap { member: crate::expr::error::shorten(name), found: operand.kind() }),
    }
}

fn truth(value: &Value<'_>, place: &'static str) -> Result<bool, Fault> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Null
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => Err(Fault::Type { place, wanted: "a bool", found: value.kind() }),
    }
}
