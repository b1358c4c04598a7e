//! The number of a row's group, from its key values and their public domains.

use crate::algebra::{Domain, Key};
use crate::catalog::{arrow_type, literal_value};
use datafusion::arrow::array::{ArrayRef, UInt64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The cell of the row in which `keys[i]` has the value of `values[i]`; NULL where a value is outside its domain.
pub fn cell(keys: &[Key], values: Vec<Expr>) -> Result<Expr> {
    let indexes = keys.iter().map(Index::new).collect::<Result<Vec<_>>>()?;
    let signature = Signature::any(values.len(), Volatility::Immutable);
    Ok(ScalarUDF::from(Cell { indexes: Arc::new(indexes), signature }).call(values))
}

/// Positions of one key's values, by their canonical bytes.
#[derive(Debug)]
struct Index {
    domain: Domain,
    ty: DataType,
    positions: HashMap<Box<[u8]>, u64>,
}

impl Index {
    fn new(key: &Key) -> Result<Index> {
        let ty = arrow_type(key.ty);
        let domain = key.domain.clone().unwrap_or_else(|| Domain::from([]));
        let scalars = domain.iter().map(literal_value);
        let array = ScalarValue::iter_to_array(scalars)?;
        let converter = RowConverter::new(vec![SortField::new(ty.clone())])?;
        let rows = converter.convert_columns(&[array])?;
        let positions = rows.iter().zip(0..).map(|(row, at)| (row.as_ref().into(), at)).collect();
        Ok(Index { domain, ty, positions })
    }

    fn find(&self, values: &ArrayRef) -> Result<Vec<Option<u64>>> {
        let converter = RowConverter::new(vec![SortField::new(self.ty.clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(values))?;
        Ok(rows.iter().map(|row| self.positions.get(row.as_ref()).copied()).collect())
    }
}

#[derive(Debug)]
struct Cell {
    indexes: Arc<Vec<Index>>,
    signature: Signature,
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.indexes.len() == other.indexes.len()
            && self.indexes.iter().zip(other.indexes.iter()).all(|(a, b)| a.domain == b.domain && a.ty == b.ty)
    }
}

impl Eq for Cell {}

impl Hash for Cell {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.indexes.iter().for_each(|i| i.domain.len().hash(state));
    }
}

impl ScalarUDFImpl for Cell {
    fn name(&self) -> &str {
        "cell"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::UInt64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.iter().map(|a| a.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let mut cells: Vec<Option<u64>> = vec![Some(0); args.number_rows];
        for (index, values) in self.indexes.iter().zip(&arrays) {
            for (cell, found) in cells.iter_mut().zip(index.find(values)?) {
                // Public keys beside private ones may have more combinations than there are numbers: then only that there is one counts.
                *cell =
                    cell.zip(found).map(|(before, at)| before.wrapping_mul(index.domain.len() as u64).wrapping_add(at));
            }
        }
        Ok(ColumnarValue::Array(Arc::new(UInt64Array::from(cells)) as ArrayRef))
    }
}
