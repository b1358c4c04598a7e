//! Scalar expressions. Every one is total and deterministic: it has a result for every input row and
//! depends on nothing else. What each operator does at its edges is said here and done in `engine`.

use super::{Function, ScalarCall};

/// The six types that a column or expression can have. Sources are cast to them when they are read: all
/// integers to `Int` (64 bits), floats and decimals to `Float`, strings to `Text`, timestamps to microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    Int,
    Float,
    Text,
    Bool,
    Date,
    Timestamp,
}

impl Type {
    /// The SQL name.
    pub fn sql(self) -> &'static str {
        match self {
            Type::Int => "BIGINT",
            Type::Float => "DOUBLE",
            Type::Text => "VARCHAR",
            Type::Bool => "BOOLEAN",
            Type::Date => "DATE",
            Type::Timestamp => "TIMESTAMP",
        }
    }

    pub fn is_numeric(self) -> bool {
        matches!(self, Type::Int | Type::Float)
    }
}

/// A constant.
#[derive(Clone, Debug)]
pub enum Literal {
    Null(Type),
    Int(i64),
    /// Made by [`Literal::float`], so that values which SQL takes for equal have the same bits.
    Float(f64),
    Text(String),
    Bool(bool),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00.
    Timestamp(i64),
}

/// Floats are equal where their bits are, so that NaN is itself and two plans are equal only where they mean the same.
impl PartialEq for Literal {
    fn eq(&self, other: &Literal) -> bool {
        match (self, other) {
            (Literal::Null(a), Literal::Null(b)) => a == b,
            (Literal::Int(a), Literal::Int(b)) => a == b,
            (Literal::Float(a), Literal::Float(b)) => a.to_bits() == b.to_bits(),
            (Literal::Text(a), Literal::Text(b)) => a == b,
            (Literal::Bool(a), Literal::Bool(b)) => a == b,
            (Literal::Date(a), Literal::Date(b)) => a == b,
            (Literal::Timestamp(a), Literal::Timestamp(b)) => a == b,
            _ => false,
        }
    }
}

impl Literal {
    /// A float with one zero and one NaN.
    pub fn float(value: f64) -> Literal {
        // -0.0 + 0.0 is 0.0.
        Literal::Float(if value.is_nan() { f64::NAN } else { value + 0.0 })
    }

    pub fn ty(&self) -> Type {
        match self {
            Literal::Null(ty) => *ty,
            Literal::Int(_) => Type::Int,
            Literal::Float(_) => Type::Float,
            Literal::Text(_) => Type::Text,
            Literal::Bool(_) => Type::Bool,
            Literal::Date(_) => Type::Date,
            Literal::Timestamp(_) => Type::Timestamp,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Literal::Null(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    NotEq,
    Less,
    LessEq,
    Greater,
    GreaterEq,
}

impl Comparison {
    /// The same with its sides exchanged.
    fn mirrored(self) -> Comparison {
        match self {
            Comparison::Eq => Comparison::Eq,
            Comparison::NotEq => Comparison::NotEq,
            Comparison::Less => Comparison::Greater,
            Comparison::LessEq => Comparison::GreaterEq,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterEq => Comparison::LessEq,
        }
    }
}

/// Both sides have the same numeric type, which is the result's. `Int`: a result that does not fit, and
/// division or remainder by zero, are NULL. `Float`: IEEE 754, division or remainder by zero is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    /// Of floats.
    Divide,
    /// Of whole numbers, towards zero.
    Quotient,
    Remainder,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Position in the input relation.
    Column(usize),
    Literal(Literal),
    /// Conjunction by SQL's three-valued logic.
    All(Vec<Expr>),
    /// Disjunction by SQL's three-valued logic.
    Any(Vec<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    /// Both sides have the same type. NULL where a side is NULL. Floats by IEEE 754-2008 total order, so NaN
    /// equals itself and is above infinity.
    Compare(Comparison, Box<Expr>, Box<Expr>),
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// The first branch whose condition is true; conditions are Boolean, results have one type.
    Case {
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    /// A value that the type cannot hold is NULL.
    Cast(Box<Expr>, Type),
    Apply(Function, Box<Expr>),
    /// The arguments have the types that it takes.
    Call(ScalarCall, Vec<Expr>),
}

impl Expr {
    pub fn and(conjuncts: Vec<Expr>) -> Expr {
        flatten(conjuncts, Expr::All, |e| match e {
            Expr::All(parts) => Ok(parts),
            other => Err(other),
        })
    }

    pub fn or(disjuncts: Vec<Expr>) -> Expr {
        flatten(disjuncts, Expr::Any, |e| match e {
            Expr::Any(parts) => Ok(parts),
            other => Err(other),
        })
    }

    pub fn compare(op: Comparison, left: Expr, right: Expr) -> Expr {
        Expr::Compare(op, Box::new(left), Box::new(right))
    }

    pub fn arithmetic(op: Arithmetic, left: Expr, right: Expr) -> Expr {
        Expr::Arithmetic(op, Box::new(left), Box::new(right))
    }

    pub fn cast(self, ty: Type) -> Expr {
        Expr::Cast(Box::new(self), ty)
    }

    /// One of the many ways to write an expression: the order of conjuncts and disjuncts, of the sides of a comparison, and of terms and
    /// factors means nothing, and what all disjuncts have in common stands before them (three-valued logic is distributive).
    pub fn canonical(self) -> Expr {
        let boxed = |e: Box<Expr>| Box::new(e.canonical());
        match self {
            Expr::All(parts) => Expr::and(sorted(parts.into_iter().map(Expr::canonical).collect())),
            Expr::Any(parts) => factored(parts.into_iter().map(Expr::canonical).collect()),
            Expr::Not(inner) => Expr::Not(boxed(inner)),
            Expr::IsNull(inner) => Expr::IsNull(boxed(inner)),
            Expr::Cast(inner, ty) => Expr::Cast(boxed(inner), ty),
            Expr::Apply(function, inner) => Expr::Apply(function, boxed(inner)),
            Expr::Call(call, args) => Expr::Call(call, args.into_iter().map(Expr::canonical).collect()),
            Expr::Compare(op, l, r) => {
                let (l, r) = (boxed(l), boxed(r));
                let literal = |e: &Expr| matches!(e, Expr::Literal(_));
                let swap = match (literal(&l), literal(&r)) {
                    (true, false) => true,
                    (false, false) => format!("{r:?}") < format!("{l:?}"),
                    _ => false,
                };
                if swap { Expr::Compare(op.mirrored(), r, l) } else { Expr::Compare(op, l, r) }
            }
            Expr::Arithmetic(op, l, r) => {
                let (l, r) = (boxed(l), boxed(r));
                let commutes = matches!(op, Arithmetic::Add | Arithmetic::Multiply);
                match commutes && format!("{r:?}") < format!("{l:?}") {
                    true => Expr::Arithmetic(op, r, l),
                    false => Expr::Arithmetic(op, l, r),
                }
            }
            Expr::Case { branches, otherwise } => Expr::Case {
                branches: branches.into_iter().map(|(when, then)| (when.canonical(), then.canonical())).collect(),
                otherwise: otherwise.map(boxed),
            },
            Expr::Column(_) | Expr::Literal(_) => self,
        }
    }

    /// The direct parts of this expression.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Column(_) | Expr::Literal(_) => vec![],
            Expr::All(parts) | Expr::Any(parts) | Expr::Call(_, parts) => parts.iter().collect(),
            Expr::Not(e) | Expr::IsNull(e) | Expr::Cast(e, _) | Expr::Apply(_, e) => vec![e],
            Expr::Compare(_, l, r) | Expr::Arithmetic(_, l, r) => vec![l, r],
            Expr::Case { branches, otherwise } => {
                branches.iter().flat_map(|(when, then)| [when, then]).chain(otherwise.as_deref()).collect()
            }
        }
    }

    /// Number of nodes.
    pub fn size(&self) -> usize {
        1 + self.children().into_iter().map(Expr::size).sum::<usize>()
    }

    /// The positions that this expression reads, in the order of their first use.
    pub fn columns(&self) -> Vec<usize> {
        let mut found = Vec::new();
        self.visit(&mut |e| {
            if let Expr::Column(i) = e
                && !found.contains(i)
            {
                found.push(*i);
            }
        });
        found
    }

    fn visit(&self, f: &mut impl FnMut(&Expr)) {
        f(self);
        for child in self.children() {
            child.visit(f);
        }
    }

    /// The same expression over a relation in which every column has moved.
    pub fn moved(&self, to: &impl Fn(usize) -> usize) -> Expr {
        let boxed = |e: &Expr| Box::new(e.moved(to));
        match self {
            Expr::Column(i) => Expr::Column(to(*i)),
            Expr::Literal(l) => Expr::Literal(l.clone()),
            Expr::All(parts) => Expr::All(parts.iter().map(|e| e.moved(to)).collect()),
            Expr::Any(parts) => Expr::Any(parts.iter().map(|e| e.moved(to)).collect()),
            Expr::Not(e) => Expr::Not(boxed(e)),
            Expr::IsNull(e) => Expr::IsNull(boxed(e)),
            Expr::Cast(e, ty) => Expr::Cast(boxed(e), *ty),
            Expr::Apply(function, e) => Expr::Apply(function.clone(), boxed(e)),
            Expr::Call(call, args) => Expr::Call(*call, args.iter().map(|e| e.moved(to)).collect()),
            Expr::Compare(op, l, r) => Expr::Compare(*op, boxed(l), boxed(r)),
            Expr::Arithmetic(op, l, r) => Expr::Arithmetic(*op, boxed(l), boxed(r)),
            Expr::Case { branches, otherwise } => Expr::Case {
                branches: branches.iter().map(|(w, t)| (w.moved(to), t.moved(to))).collect(),
                otherwise: otherwise.as_ref().map(|e| boxed(e)),
            },
        }
    }
}

/// Each operand once, in one order.
fn sorted(mut parts: Vec<Expr>) -> Vec<Expr> {
    parts.sort_by_cached_key(|part| format!("{part:?}"));
    parts.dedup();
    parts
}

/// A disjunction with what all its parts have in common before it: (a AND b) OR (a AND c) is a AND (b OR c), and a OR (a AND b) is a.
fn factored(parts: Vec<Expr>) -> Expr {
    let conjuncts = |part: Expr| match part {
        Expr::All(conjuncts) => conjuncts,
        other => vec![other],
    };
    let parts = match Expr::or(sorted(parts)) {
        Expr::Any(parts) => parts,
        single => return single,
    };
    let parts: Vec<Vec<Expr>> = parts.into_iter().map(conjuncts).collect();
    let shared = |part: &Expr| parts.iter().all(|others| others.contains(part));
    let common: Vec<Expr> = parts.first().into_iter().flatten().filter(|part| shared(part)).cloned().collect();
    let rest: Vec<Vec<Expr>> =
        parts.into_iter().map(|part| part.into_iter().filter(|e| !common.contains(e)).collect()).collect();
    if rest.iter().any(Vec::is_empty) {
        return Expr::and(common);
    }
    let any = Expr::or(sorted(rest.into_iter().map(Expr::and).collect()));
    Expr::and(sorted(common.into_iter().chain([any]).collect()))
}

/// One flat list of operands: a thousand-term OR is one node, not a thousand levels.
fn flatten(parts: Vec<Expr>, join: fn(Vec<Expr>) -> Expr, open: fn(Expr) -> Result<Vec<Expr>, Expr>) -> Expr {
    let mut flat = Vec::new();
    for part in parts {
        match open(part) {
            Ok(inner) => flat.extend(inner),
            Err(other) => flat.push(other),
        }
    }
    match flat.len() {
        1 => flat.remove(0),
        _ => join(flat),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c(i: usize) -> Expr {
        Expr::Column(i)
    }

    #[test]
    fn what_disjuncts_have_in_common_stands_before_them() {
        let and = |parts: &[usize]| Expr::and(parts.iter().map(|i| c(*i)).collect());
        let same = |a: Expr, b: Expr| assert_eq!(a.canonical(), b.canonical());
        same(Expr::or(vec![and(&[1, 2]), and(&[3, 1])]), Expr::and(vec![Expr::or(vec![c(3), c(2)]), c(1)]));
        same(Expr::or(vec![c(1), and(&[1, 2])]), c(1));
        same(Expr::or(vec![c(1), c(1)]), c(1));
        same(Expr::or(vec![and(&[1, 2]), and(&[2, 1])]), and(&[1, 2]));
        let other = Expr::or(vec![and(&[1, 2]), and(&[3, 4])]).canonical();
        assert!(matches!(&other, Expr::Any(parts) if parts.len() == 2), "{other:?}");
    }

    #[test]
    fn terms_and_factors_have_no_order() {
        let of = |op, a, b| Expr::arithmetic(op, c(a), c(b)).canonical();
        assert_eq!(of(Arithmetic::Add, 1, 2), of(Arithmetic::Add, 2, 1));
        assert_eq!(of(Arithmetic::Multiply, 1, 2), of(Arithmetic::Multiply, 2, 1));
        assert_ne!(of(Arithmetic::Subtract, 1, 2), of(Arithmetic::Subtract, 2, 1));
        assert_ne!(of(Arithmetic::Divide, 1, 2), of(Arithmetic::Divide, 2, 1));
    }
}
