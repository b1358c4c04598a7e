//! Aggregates by name; one with a mark (see [`super::marks`]) is a function of its own, so that what it asks for is part of it. Lowering
//! gives them their meaning; they are never executed.

use super::marks::split;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::functions_aggregate::{
    average::avg_udaf, count::count_udaf, grouping::grouping_udaf, min_max, sum::sum_udaf,
};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

pub fn aggregate(name: &str) -> Option<Arc<AggregateUDF>> {
    if let Some((function, _)) = split(name) {
        let of = aggregate(function)?;
        let signature = Signature::user_defined(Volatility::Immutable);
        return Some(Arc::new(AggregateUDF::from(Marked { name: name.to_owned(), of, signature })));
    }
    match name {
        "count" => Some(count_udaf()),
        "sum" => Some(sum_udaf()),
        "avg" => Some(avg_udaf()),
        "min" => Some(min_max::min_udaf()),
        "max" => Some(min_max::max_udaf()),
        "grouping" => Some(grouping_udaf()),
        _ => None,
    }
}

/// An aggregate with a mark in its name. Arguments after the first are the clause's.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Marked {
    name: String,
    of: Arc<AggregateUDF>,
    signature: Signature,
}

impl AggregateUDFImpl for Marked {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut types = types.to_vec();
        if let Some(first) = types.first_mut()
            && first.is_numeric()
            && self.of.name() == "avg"
        {
            *first = DataType::Float64;
        }
        Ok(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match (self.of.name(), types.first()) {
            ("count", _) | (_, None) => DataType::Int64,
            ("avg", _) => DataType::Float64,
            ("sum", Some(of)) if of.is_integer() => DataType::Int64,
            (_, Some(of)) => of.clone(),
        })
    }

    fn is_nullable(&self) -> bool {
        self.of.is_nullable()
    }

    fn default_value(&self, of: &DataType) -> Result<ScalarValue> {
        self.of.default_value(of)
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        internal_err!("{} has no meaning before it is lowered", self.name)
    }
}
