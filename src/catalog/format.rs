//! Formats and compressions of files: what their names end in, and how they are read.

use super::declaration::{Compression, Format};
use crate::error::{Error, Result};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use std::sync::Arc;

impl Format {
    /// What the names of its files end in.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Format::Parquet => &[".parquet"],
            Format::Csv => &[".csv"],
            Format::Ndjson => &[".ndjson", ".jsonl"],
            Format::Arrow => &[".arrow", ".arrows"],
        }
    }

    /// Whether a file of this name in a directory is one of the table's. Hidden ones, and `_SUCCESS` and the like, are not.
    pub(super) fn takes(self, name: &str) -> bool {
        let plain = match Compression::of(name) {
            Some(compression) if self.is_text() => name.strip_suffix(compression.ending()).unwrap_or(name),
            _ => name,
        };
        !name.starts_with(['.', '_']) && self.endings().iter().any(|ending| plain.ends_with(ending))
    }

    /// Text is compressed as a whole file; the others compress within.
    fn is_text(self) -> bool {
        matches!(self, Format::Csv | Format::Ndjson)
    }

    /// How files of these names are compressed: as declared, else as they are called.
    pub(super) fn compression<'a>(
        self,
        declared: Option<Compression>,
        mut names: impl Iterator<Item = &'a str>,
    ) -> Result<Option<Compression>> {
        match (self.is_text(), declared) {
            (false, None) => Ok(None),
            (false, Some(_)) => Err(Error::configuration(
                "compression is for CSV and NDJSON; Parquet and Arrow files are compressed within, and are read as they are",
            )),
            (true, Some(compression)) => Ok(Some(compression)),
            (true, None) => {
                let first = names.next().and_then(Compression::of);
                match names.all(|name| Compression::of(name) == first) {
                    true => Ok(first),
                    false => Err(Error::configuration("its files are not all compressed in the same way")),
                }
            }
        }
    }
}

impl Compression {
    const ALL: [Compression; 4] = [Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd];

    fn ending(self) -> &'static str {
        match self {
            Compression::Gzip => ".gz",
            Compression::Bzip2 => ".bz2",
            Compression::Xz => ".xz",
            Compression::Zstd => ".zst",
        }
    }

    fn of(name: &str) -> Option<Compression> {
        Compression::ALL.into_iter().find(|compression| name.ends_with(compression.ending()))
    }

    pub(super) fn for_reader(compression: Option<Compression>) -> FileCompressionType {
        match compression {
            None => FileCompressionType::UNCOMPRESSED,
            Some(Compression::Gzip) => FileCompressionType::GZIP,
            Some(Compression::Bzip2) => FileCompressionType::BZIP2,
            Some(Compression::Xz) => FileCompressionType::XZ,
            Some(Compression::Zstd) => FileCompressionType::ZSTD,
        }
    }
}

/// Readers that do the same work whatever the values are: statistics, page indexes and bloom filters would turn
/// values into time and bytes read.
pub(super) fn reader(
    format: Format,
    compression: Option<Compression>,
    newlines_in_values: bool,
) -> Arc<dyn FileFormat> {
    let compression = Compression::for_reader(compression);
    match format {
        Format::Parquet => {
            let mut options = TableParquetOptions::default();
            options.global.pruning = false;
            options.global.enable_page_index = false;
            options.global.bloom_filter_on_read = false;
            options.global.pushdown_filters = false;
            options.global.schema_force_view_types = false;
            Arc::new(ParquetFormat::default().with_options(options))
        }
        Format::Csv => Arc::new(
            CsvFormat::default()
                .with_has_header(true)
                .with_newlines_in_values(newlines_in_values)
                .with_file_compression_type(compression),
        ),
        // Types are those of all lines, and every line is read when the dataset is opened.
        Format::Ndjson => Arc::new(
            JsonFormat::default().with_schema_infer_max_rec(usize::MAX).with_file_compression_type(compression),
        ),
        Format::Arrow => Arc::new(ArrowFormat),
    }
}
