//! Syntax tree of an expression, at most [`MAX_DEPTH`] levels deep.

use crate::functions::Function;
use crate::lexer::SyntaxError;
use crate::operator::Operator;
use crate::pattern::Pattern;

/// Maximum depth of a tree. Evaluating a level takes less than 1 KiB of stack.
const MAX_DEPTH: u8 = 96;

/// Node of the tree, with the byte offset for error messages.
#[derive(Debug)]
pub struct Expression {
    pub kind: Kind,
    pub offset: usize,
    /// Number of levels including this one.
    pub depth: u8,
}

/// Kind of a node, with its children.
#[derive(Debug)]
pub enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
    /// Name of a type, which is a value.
    Type(&'static str),
    Data,
    Input,
    /// Variable of the n-th enclosing macro, counted from the outermost.
    Local(usize),
    Field(Box<Expression>, Box<str>),
    Has(Box<Expression>, Box<str>),
    Index(Box<[Expression; 2]>),
    Not(Box<Expression>),
    Negate(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Binary(Operator, Box<[Expression; 2]>),
    /// Condition, then, else.
    Conditional(Box<[Expression; 3]>),
    List(Vec<Expression>),
    /// Keys and values in turn.
    Map(Vec<Expression>),
    /// Function call; a receiver is the first argument.
    Call(&'static Function, Vec<Expression>),
    Matches(Box<Expression>, Box<Pattern>),
    /// Macro: the list or map, and the expression for each element.
    Comprehension(Macro, Box<[Expression; 2]>),
    /// `map` with a condition: the list or map, the condition, the value.
    FilterMap(Box<[Expression; 3]>),
}

/// Macro that iterates over a list or over the keys of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Macro {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

impl Macro {
    /// Returns the macro of this name. `None`: unknown.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "exists" => Self::Exists,
            "exists_one" | "existsOne" => Self::ExistsOne,
            "filter" => Self::Filter,
            "map" => Self::Map,
            _ => return None,
        })
    }

    /// Returns true if the second argument is a condition.
    pub const fn takes_condition(self) -> bool {
        !matches!(self, Self::Map)
    }
}

impl Expression {
    /// Creates a node.
    ///
    /// # Errors
    /// If the tree would be too deep.
    pub fn new(offset: usize, kind: Kind) -> Result<Self, SyntaxError> {
        let below = kind
            .children()
            .into_iter()
            .map(|part| part.depth)
            .max()
            .unwrap_or_default();
        if below >= MAX_DEPTH {
            return Err(SyntaxError::new(
                offset,
                format!("the expression has more than {MAX_DEPTH} levels here"),
            ));
        }
        Ok(Self {
            kind,
            offset,
            depth: below + 1,
        })
    }

    /// Returns the direct children, in source order.
    pub fn children(&self) -> Vec<&Self> {
        self.kind.children()
    }
}

impl Kind {
    fn children(&self) -> Vec<&Expression> {
        match self {
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Uint(_)
            | Self::Double(_)
            | Self::Text(_)
            | Self::Type(_)
            | Self::Data
            | Self::Input
            | Self::Local(_) => Vec::new(),
            Self::Field(part, _)
            | Self::Has(part, _)
            | Self::Matches(part, _)
            | Self::Not(part)
            | Self::Negate(part) => {
                vec![part]
            }
            Self::Index(parts) | Self::Binary(_, parts) | Self::Comprehension(_, parts) => {
                parts.iter().collect()
            }
            Self::Conditional(parts) | Self::FilterMap(parts) => parts.iter().collect(),
            Self::And(parts)
            | Self::Or(parts)
            | Self::List(parts)
            | Self::Map(parts)
            | Self::Call(_, parts) => parts.iter().collect(),
        }
    }
}
