//! The private algebra: the only language in which a question reaches the data.
//!
//! A [`Relation`] is public, or private and then *unit-preserving*: a disjoint union over privacy units of a
//! function of that unit's rows, public data and the query's secret, with nothing for nothing. A
//! private relation carries its unit in column 0, always. A [`Release`] turns a private relation into a
//! noisy public table; everything above it is post-processing. Columns are positions, never names.
//! Pure: no I/O, no data.

pub mod calendar;
mod domain;
mod expr;
mod fraction;
mod function;
mod interval;
mod probe;
mod regular;
mod relation;
pub mod scalars;
mod sensitivity;
mod statistic;

pub use calendar::{DatePart, DateUnit};
pub use domain::{Domain, Known, Work};
pub use expr::{Arithmetic, Comparison, Expr, Literal, Type};
pub use fraction::Fraction;
pub use function::{Buckets, Function, MAX_TEXT_BYTES, Pattern};
pub use interval::{Bounds, bounds};
pub use probe::{MOST_GROUPS, Probe, group_edges, is_open, total_edges};
pub use regular::{Find, Search, replacement};
pub use relation::{
    Accuracy, Cell, Direction, Family, Fold, FoldKind, Frame, FrameEnd, FrameUnits, Hierarchy, JoinKind, Key, Listed,
    Measure, Mechanism, Output, Quantity, Query, Relation, Release, SortKey, TableId, Take, Terms, Tolerance,
    WindowCall, WindowFunction, lists,
};
pub use scalars::{Scalar, ScalarCall, is_format};
pub use sensitivity::{Clamp, Contribution, Sensitivity};
pub use statistic::{Moment, Moments, Range, Statistic};
