//! Answers for programs: the table with the ends of its intervals beside each noisy column, as JSON, CSV, Arrow or Parquet.

use crate::error::{Code, Error, Result};
use crate::proto::Answer;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::StreamWriter;
use clap::ValueEnum;
use datafusion::parquet::arrow::ArrowWriter;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people, with error bars and the cost.
    Table,
    /// An array of objects, one per row.
    Json,
    Csv,
    /// An Arrow IPC stream; its metadata has the receipt.
    Arrow,
    /// A Parquet file; its metadata has the receipt.
    Parquet,
}

/// The answer's bytes. `x_lower` and `x_upper` follow each column x that has an interval.
fn bytes(answer: &Answer, format: Format) -> Result<Vec<u8>> {
    let broken = |what: &str| Error::internal(format!("the answer cannot be written as {what}"));
    match format {
        Format::Table => Ok(super::render::answer(answer)?.into_bytes()),
        Format::Json => {
            let mut writer = arrow_json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, arrow_json::writer::JsonArray>(Vec::new());
            let written = writer.write(&whole(answer)?).and_then(|()| writer.finish());
            written.map_err(|_| broken("JSON"))?;
            let mut bytes = writer.into_inner();
            if bytes.is_empty() {
                bytes.extend(b"[]");
            }
            bytes.push(b'\n');
            Ok(bytes)
        }
        Format::Csv => {
            let mut writer = arrow::csv::Writer::new(Vec::new());
            writer.write(&whole(answer)?).map_err(|_| broken("CSV"))?;
            Ok(writer.into_inner())
        }
        Format::Arrow => {
            let batch = whole(answer)?;
            let stream = StreamWriter::try_new(Vec::new(), &batch.schema()).and_then(|mut writer| {
                writer.write(&batch)?;
                writer.into_inner()
            });
            stream.map_err(|_| broken("Arrow"))
        }
        Format::Parquet => {
            let batch = whole(answer)?;
            let file = ArrowWriter::try_new(Vec::new(), batch.schema(), None).and_then(|mut writer| {
                writer.write(&batch)?;
                writer.into_inner()
            });
            file.map_err(|_| broken("Parquet"))
        }
    }
}

/// Where an answer goes, opened before it is paid for.
pub enum Sink {
    Standard,
    File(std::fs::File),
}

impl Sink {
    /// A file, or standard output, but no binary to a terminal.
    pub fn open(format: Format, output: Option<&Path>) -> Result<Sink> {
        if let Some(path) = output {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            return file
                .map(Sink::File)
                .map_err(|e| Error::configuration(format!("cannot write {}: {e}", path.display())));
        }
        if matches!(format, Format::Arrow | Format::Parquet) && std::io::stdout().is_terminal() {
            let message =
                "this format is binary and standard output is a terminal: name a file with --output, or redirect";
            return Err(Error::new(Code::InvalidRequest, message));
        }
        Ok(Sink::Standard)
    }

    /// Writes the answer in the place of what the file held.
    pub fn write(self, answer: &Answer, format: Format) -> Result<()> {
        let bytes = bytes(answer, format)?;
        match self {
            Sink::Standard => super::show(bytes),
            Sink::File(mut file) => {
                let written = file.set_len(0).and_then(|()| file.write_all(&bytes)).and_then(|()| file.sync_all());
                written.map_err(|e| Error::internal(format!("cannot write the answer: {e}")))
            }
        }
    }
}

/// Table and intervals as one batch, with the table's metadata.
fn whole(answer: &Answer) -> Result<RecordBatch> {
    let (table, intervals) = (super::render::batch(&answer.table)?, super::render::batch(&answer.intervals)?);
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (vec![], vec![]);
    for (field, values) in table.schema().fields().iter().zip(table.columns()) {
        fields.push(field.as_ref().clone());
        columns.push(values.clone());
        for end in ["lower", "upper"] {
            let name = format!("{}_{end}", field.name());
            if let Some(values) = intervals.column_by_name(&name) {
                fields.push(Field::new(name, values.data_type().clone(), true));
                columns.push(values.clone());
            }
        }
    }
    let schema = Schema::new_with_metadata(fields, table.schema().metadata().clone());
    let options = RecordBatchOptions::new().with_row_count(Some(table.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)
        .map_err(|_| Error::internal("table and intervals of the answer do not fit together"))
}
