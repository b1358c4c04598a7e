//! Which of a unit's groups, or rows, are kept: a keyed hash ranks them.
//!
//! The hash is SipHash-2-4 (Aumasson and Bernstein 2012), a pseudo-random function, under a fresh key for each query. It is
//! taken over the canonical bytes of the row, so a unit's outcome depends on that unit's rows and the key alone.

use datafusion::arrow::array::{ArrayRef, UInt64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use rand::{TryRng, rngs::SysError, rngs::SysRng};
use siphasher::sip::SipHasher24;
use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

/// The key of one query's ranks. Never shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Secret([u8; 16]);

impl Secret {
    /// From the operating system.
    pub fn draw() -> Result<Secret, SysError> {
        let mut key = [0; 16];
        SysRng.try_fill_bytes(&mut key)?;
        Ok(Secret(key))
    }

    /// One that was drawn before, so that units are sampled as they were then.
    pub fn again(key: [u8; 16]) -> Secret {
        Secret(key)
    }

    /// To keep it: whoever has it and an answer learns no more than from the answer.
    pub fn key(&self) -> [u8; 16] {
        self.0
    }

    /// The rank of a unit in a cell: that of [`rank`] for a row of the two, whose canonical bytes these are.
    pub fn rank_in_cell(&self, unit: i64, cell: u64) -> u64 {
        let mut row = [1; 18];
        row[1..9].copy_from_slice(&(unit ^ i64::MIN).to_be_bytes());
        row[10..].copy_from_slice(&cell.to_be_bytes());
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&row);
        hasher.finish()
    }

    /// A fixed key, so that a test can compare runs.
    #[cfg(test)]
    pub fn fixed() -> Secret {
        Secret([7; 16])
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The rank of a row of these values; ties are for the caller to break by the values themselves.
pub fn rank(secret: Secret, values: Vec<Expr>) -> Expr {
    let signature = Signature::any(values.len(), Volatility::Immutable);
    ScalarUDF::from(Rank { secret, signature }).call(values)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Rank {
    secret: Secret,
    signature: Signature,
}

impl ScalarUDFImpl for Rank {
    fn name(&self) -> &str {
        "rank"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::UInt64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.iter().map(|a| a.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let fields = arrays.iter().map(|a| SortField::new(a.data_type().clone())).collect();
        let rows = RowConverter::new(fields)?.convert_columns(&arrays)?;
        let ranks = rows.iter().map(|row| {
            let mut hasher = SipHasher24::new_with_key(&self.secret.0);
            hasher.write(row.as_ref());
            hasher.finish()
        });
        Ok(ColumnarValue::Array(Arc::new(UInt64Array::from_iter_values(ranks)) as ArrayRef))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::evaluated;
    use super::*;
    use datafusion::arrow::array::{AsArray, Int64Array};
    use datafusion::arrow::datatypes::UInt64Type;

    #[test]
    fn a_cells_rank_is_that_of_its_row() {
        let units = [0, 1, -1, 4242, i64::MAX, i64::MIN];
        let cells = [0, 7, u64::MAX, 1 << 40, 3, 0];
        let columns: [ArrayRef; 2] =
            [Arc::new(Int64Array::from(units.to_vec())), Arc::new(UInt64Array::from(cells.to_vec()))];
        let ranks = evaluated(|args| rank(Secret::fixed(), args), &columns, units.len()).unwrap();
        for (at, (unit, cell)) in units.into_iter().zip(cells).enumerate() {
            assert_eq!(ranks.as_primitive::<UInt64Type>().value(at), Secret::fixed().rank_in_cell(unit, cell));
        }
    }
}
