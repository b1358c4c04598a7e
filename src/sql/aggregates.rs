//! Aggregates by name; one with a mark (see [`super::marks`]) is a function of its own, so that what it asks for is part of it. Lowering
//! gives them their meaning; they are never executed.

use super::marks::split;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::functions_aggregate::{
    average::avg_udaf, bool_and_or, correlation, count::count_udaf, covariance, grouping::grouping_udaf, min_max, regr,
    stddev, sum::sum_udaf, variance,
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
        "variance" => Some(variance::var_samp_udaf()),
        "bool_and" | "every" => Some(bool_and_or::bool_and_udaf()),
        "bool_or" => Some(bool_and_or::bool_or_udaf()),
        name if QUANTILES.contains(&name) => {
            let signature = Signature::variadic_any(Volatility::Immutable);
            Some(Arc::new(AggregateUDF::from(Quantile { name: name.to_owned(), signature })))
        }
        _ => statistics().into_iter().find(|known| known.name() == name || known.aliases().iter().any(|a| a == name)),
    }
}

/// Those of one or two numbers, which they take as fractions.
fn statistics() -> [Arc<AggregateUDF>; 16] {
    [
        variance::var_pop_udaf(),
        variance::var_samp_udaf(),
        stddev::stddev_pop_udaf(),
        stddev::stddev_udaf(),
        covariance::covar_pop_udaf(),
        covariance::covar_samp_udaf(),
        correlation::corr_udaf(),
        regr::regr_slope_udaf(),
        regr::regr_intercept_udaf(),
        regr::regr_r2_udaf(),
        regr::regr_count_udaf(),
        regr::regr_avgx_udaf(),
        regr::regr_avgy_udaf(),
        regr::regr_sxx_udaf(),
        regr::regr_syy_udaf(),
        regr::regr_sxy_udaf(),
    ]
}

/// Those that choose a value of their first argument.
pub const QUANTILES: [&str; 9] = [
    "mode",
    "approx_top_k",
    "histogram",
    "median",
    "approx_median",
    "percentile_cont",
    "approx_percentile_cont",
    "quantile_cont",
    "approx_quantile",
];

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quantile {
    name: String,
    signature: Signature,
}

impl AggregateUDFImpl for Quantile {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types.first() {
            _ if self.name == "approx_top_k" || self.name == "histogram" => DataType::Utf8,
            Some(ty) if !ty.is_numeric() || self.name == "mode" => ty.clone(),
            _ => DataType::Float64,
        })
    }

    fn supports_within_group_clause(&self) -> bool {
        !self.name.ends_with("median")
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        internal_err!("{} has no meaning before it is lowered", self.name)
    }
}

/// An aggregate with a mark in its name. Arguments after the first are the clause's.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Marked {
    name: String,
    of: Arc<AggregateUDF>,
    signature: Signature,
}

impl Marked {
    /// Arguments of a statistic.
    fn numbers(&self) -> usize {
        match self.of.name() {
            "var" | "var_pop" | "stddev" | "stddev_pop" => 1,
            name if name == "corr" || name.starts_with("covar") || name.starts_with("regr") => 2,
            _ => 0,
        }
    }
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
        let numbers = match self.of.name() {
            "avg" => 1,
            _ => self.numbers(),
        };
        for ty in types.iter_mut().take(numbers).filter(|ty| ty.is_numeric()) {
            *ty = DataType::Float64;
        }
        Ok(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match (self.of.name(), types.first()) {
            ("count", _) | (_, None) => DataType::Int64,
            ("regr_count", _) => DataType::Int64,
            ("avg", _) => DataType::Float64,
            ("bool_and" | "bool_or", _) => DataType::Boolean,
            ("approx_top_k" | "histogram", _) => DataType::Utf8,
            (name, Some(of)) if QUANTILES.contains(&name) && name != "mode" && of.is_numeric() => DataType::Float64,
            _ if self.numbers() > 0 => DataType::Float64,
            ("sum", Some(of)) if of.is_integer() => DataType::Int64,
            (_, Some(of)) => of.clone(),
        })
    }

    fn supports_within_group_clause(&self) -> bool {
        self.of.supports_within_group_clause()
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
