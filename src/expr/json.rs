//! A JSON document whose strings may be templates: bodies.

use serde_json::{Map, Value};

use crate::expr::budget::Budget;
use crate::expr::error::{CompileError, EvalError, Problem, Site, shorten};
use crate::expr::scope::Scope;
use crate::expr::template::{Part, Template, any, sorted, with_stack};
use crate::expr::{Reference, Variables, limit};

/// A JSON document with templates in its string values. Keys are never templates.
#[derive(Clone, Debug)]
pub struct Json {
    node: Node,
    references: Vec<Reference>,
}

/// A part of the document; parts without expressions are kept whole.
#[derive(Clone, Debug)]
enum Node {
    Constant(Value),
    Template(Template),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Json {
    /// Compiles every string of the document, at most 64 levels deep.
    ///
    /// # Errors
    /// The first [`Problem`], with the JSON Pointer of its string.
    pub fn compile(source: &Value, variables: Variables) -> Result<Self, CompileError> {
        let mut compiler = Compiler { variables, references: Vec::new(), expressions: 0 };
        let node = with_stack(|| compiler.node(source, 0))?;
        Ok(Json { node, references: sorted(compiler.references) })
    }

    /// Renders the document. A string that is exactly one `${...}` becomes the value of the expression, with its type.
    ///
    /// # Errors
    /// A [`super::Fault`], with the JSON Pointer of its string; the values of a document may have 1 MiB together.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Value, EvalError> {
        if let Node::Constant(value) = &self.node {
            return Ok(value.clone());
        }
        with_stack(|| self.node.render(scope, &mut Budget::new()))
    }

    /// What the document reads from earlier steps; sorted, each once.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }
}

struct Compiler {
    variables: Variables,
    references: Vec<Reference>,
    expressions: usize,
}

impl Compiler {
    fn node(&mut self, source: &Value, depth: usize) -> Result<Node, CompileError> {
        if depth > limit::DOCUMENT_DEPTH {
            let hint = "pass a nested value with one expression";
            let problem = Problem::TooLarge { what: "the depth of a document", limit: limit::DOCUMENT_DEPTH, hint };
            return Err(CompileError { site: Box::default(), problem });
        }
        match source {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Node::Constant(source.clone())),
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                let mut nodes = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    nodes.push(
                        self.node(item, depth + 1)
                            .map_err(|e| CompileError { site: below(e.site, &i.to_string()), ..e })?,
                    );
                }
                if nodes.iter().all(Node::is_constant) {
                    return Ok(Node::Constant(nodes.into_iter().filter_map(Node::constant).collect()));
                }
                Ok(Node::Array(nodes))
            }
            Value::Object(members) => {
                let mut nodes = Vec::with_capacity(members.len());
                for (key, member) in members {
                    nodes.push((
                        key.clone(),
                        self.node(member, depth + 1).map_err(|e| CompileError { site: below(e.site, key), ..e })?,
                    ));
                }
                if nodes.iter().all(|(_, node)| node.is_constant()) {
                    let constants = nodes.into_iter().filter_map(|(key, node)| Some((key, node.constant()?)));
                    return Ok(Node::Constant(constants.collect()));
                }
                Ok(Node::Object(nodes))
            }
        }
    }

    fn text(&mut self, text: &str) -> Result<Node, CompileError> {
        let template = Template::compile(text, self.variables, &mut self.references)?;
        if let Some(text) = template.constant() {
            return Ok(Node::Constant(Value::String(text.to_owned())));
        }
        self.expressions += template.parts.iter().filter(|part| matches!(part, Part::Expression(_))).count();
        if self.expressions > limit::EXPRESSIONS_PER_TEMPLATE {
            let problem = Problem::TooLarge {
                what: "the number of expressions in one document",
                limit: limit::EXPRESSIONS_PER_TEMPLATE,
                hint: "pass a whole map or list with one expression",
            };
            return Err(CompileError { site: Box::new(Site::new(text, 1)), problem });
        }
        Ok(Node::Template(template))
    }
}

impl Node {
    fn is_constant(&self) -> bool {
        matches!(self, Node::Constant(_))
    }

    fn constant(self) -> Option<Value> {
        if let Node::Constant(value) = self { Some(value) } else { None }
    }

    fn render(&self, scope: &Scope<'_>, budget: &mut Budget) -> Result<Value, EvalError> {
        match self {
            Node::Constant(value) => Ok(value.clone()),
            Node::Template(template) => match template.single() {
                Some(program) => program.evaluate(scope, budget, |value, budget| value.to_json(budget)),
                None => template.join(scope, budget, any).map(Value::String),
            },
            Node::Array(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(i, node)| {
                    node.render(scope, budget).map_err(|e| EvalError { site: below(e.site, &i.to_string()), ..e })
                })
                .collect(),
            Node::Object(members) => {
                let mut object = Map::new();
                for (key, node) in members {
                    object.insert(
                        key.clone(),
                        node.render(scope, budget).map_err(|e| EvalError { site: below(e.site, key), ..e })?,
                    );
                }
                Ok(Value::Object(object))
            }
        }
    }
}

/// The same place, seen from one level higher.
fn below(mut site: Box<Site>, key: &str) -> Box<Site> {
    let key = shorten(key).replace('~', "~0").replace('/', "~1");
    site.pointer = format!("/{key}{}", site.pointer);
    site
}
