//! PERCENTILE_CONT of rows as they are: public ones, or those of one unit.
//!
//! DataFusion's own rounds the place between two values to six digits; a unit's result must be the same whatever the order of its rows, which
//! it is here: values are sorted in IEEE 754's total order, and there are one zero and one NaN.

use crate::algebra::Fraction;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};
use std::sync::Arc;

/// Of doubles; NULL where there are none. Between two values it is on the straight line.
pub fn quantile(at: Fraction, of: Expr) -> Expr {
    let signature = Signature::exact(vec![DataType::Float64], Volatility::Immutable);
    AggregateUDF::from(Quantile { at, signature }).call(vec![of])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quantile {
    at: Fraction,
    signature: Signature,
}

impl AggregateUDFImpl for Quantile {
    fn name(&self) -> &str {
        "quantile_of_rows"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(DataType::Float64, true);
        Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "values"), item, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Values { at: self.at, values: vec![] }))
    }
}

struct Values {
    at: Fraction,
    values: Vec<f64>,
}

/// It holds private values.
impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("values of a quantile")
    }
}

impl Values {
    fn take(&mut self, of: &dyn Array) {
        if let Some(of) = of.as_primitive_opt::<Float64Type>() {
            // There is one zero, and one NaN, which is last.
            let one = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
            self.values.extend(of.iter().flatten().map(one));
        }
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0]);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().for_each(|of| self.take(&of));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<_> = self.values.iter().map(|value| ScalarValue::Float64(Some(*value))).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Float64))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(between(self.at, &mut self.values)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }
}

/// The value at the rank q (n - 1) from 0 on, which is a whole number of millionths.
fn between(at: Fraction, values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let rank = u128::from(at.millionths()) * values.len().checked_sub(1)? as u128;
    let (whole, part) = (rank / u128::from(Fraction::ONE), rank % u128::from(Fraction::ONE));
    let lower = *values.get(whole as usize)?;
    let Some(upper) = values.get(whole as usize + 1).filter(|_| part != 0) else { return Some(lower) };
    // Equal values, infinite ones too, have themselves between them.
    if lower == *upper {
        return Some(lower);
    }
    let weight = part as f64 / f64::from(Fraction::ONE);
    let value = lower * (1.0 - weight) + upper * weight;
    // Rounding must not leave bounds that both keep.
    Some(if value.is_nan() { value } else { value.max(lower).min(*upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_the_line_between_its_neighbours() {
        let of = |millionths, values: &[f64]| between(Fraction::new(millionths).unwrap(), &mut values.to_vec());
        assert_eq!(of(500_000, &[]), None);
        assert_eq!(of(500_000, &[3.0]), Some(3.0));
        assert_eq!(of(500_000, &[9.0, 1.0, 4.0, 2.0]), Some(3.0));
        assert_eq!(of(250_000, &[0.0, 10.0]), Some(2.5));
        assert_eq!((of(0, &[2.0, 1.0]), of(1_000_000, &[2.0, 1.0])), (Some(1.0), Some(2.0)));
        // Two thirds of a million equal steps: DataFusion's place has six digits.
        let many: Vec<f64> = (0..=1_000_001).map(f64::from).collect();
        assert!((of(333_333, &many).unwrap() - 333_333.333_333).abs() < 1e-6);
        assert_eq!(of(500_000, &[-1e308, 1e308]), Some(0.0));
        assert_eq!(of(500_000, &[f64::INFINITY, f64::INFINITY]), Some(f64::INFINITY));
        assert!(of(500_000, &[1.0, f64::NAN]).unwrap().is_nan());
    }
}
