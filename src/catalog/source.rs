//! The files behind a table.

use super::csv;
use super::declaration::Format;
use crate::error::{Error, Result};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::{FileFormat, csv::CsvFormat, parquet::ParquetFormat};
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// A fixed list of files with one schema, opened for reading.
pub struct Source {
    provider: Arc<dyn TableProvider>,
    files: Vec<Identity>,
}

/// What tells a file from another one under the same name.
#[derive(PartialEq, Eq)]
struct Identity {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

impl Identity {
    fn of(path: &Path) -> std::io::Result<Identity> {
        let metadata = std::fs::metadata(path)?;
        Ok(Identity { path: path.to_owned(), bytes: metadata.len(), modified: metadata.modified()? })
    }
}

impl Source {
    /// Opens the files that `pattern` (a file, a directory or a glob, relative to `base`) names now. Later
    /// files do not join by themselves.
    pub(super) async fn open(
        state: &SessionState,
        base: &Path,
        pattern: &str,
        format: Format,
        newlines_in_values: bool,
    ) -> Result<Source> {
        let paths = resolve(base, pattern, format)?;
        let files = paths
            .iter()
            .map(|p| Identity::of(p).map_err(|e| Error::configuration(format!("file {}: {e}", p.display()))))
            .collect::<Result<Vec<_>>>()?;
        let mut urls = Vec::new();
        for path in &paths {
            let absolute =
                path.canonicalize().map_err(|e| Error::configuration(format!("file {}: {e}", path.display())))?;
            urls.push(url_of(&absolute)?);
        }
        if format == Format::Csv {
            paths.iter().try_for_each(|path| csv::check(path, newlines_in_values))?;
        }
        let reader = reader(format, newlines_in_values);
        let options = ListingOptions::new(reader.clone()).with_file_extension("");
        let mut schema: Option<SchemaRef> = None;
        for (url, path) in urls.iter().zip(&paths) {
            let found = schema_of(state, &options, url, format)
                .await
                .map_err(|e| Error::configuration(format!("file {}: {}", path.display(), unreadable(e).message)))?;
            match &schema {
                Some(first) if !same_columns(first, &found) => {
                    return Err(Error::configuration(format!(
                        "file {} has other columns or types than {}",
                        path.display(),
                        paths[0].display()
                    )));
                }
                Some(_) => {}
                None => schema = Some(found),
            }
        }
        let schema = schema.ok_or_else(|| Error::configuration(format!("no file matches '{pattern}'")))?;
        let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema);
        let table = ListingTable::try_new(config).map_err(|e| Error::configuration(format!("'{pattern}': {e}")))?;
        Ok(Source { provider: Arc::new(table), files })
    }

    pub fn provider(&self) -> Arc<dyn TableProvider> {
        self.provider.clone()
    }

    pub fn schema(&self) -> SchemaRef {
        self.provider.schema()
    }

    /// Whether every file is still the one that was opened.
    pub fn is_unchanged(&self) -> bool {
        self.files.iter().all(|file| Identity::of(&file.path).is_ok_and(|now| now == *file))
    }

    /// Text that changes whenever a file does.
    pub fn fingerprint(&self) -> String {
        let since = |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        self.files.iter().map(|f| format!("{}|{}|{}\n", f.path.display(), f.bytes, since(f.modified))).collect()
    }
}

/// The files that a path, directory or glob names, sorted.
fn resolve(base: &Path, pattern: &str, format: Format) -> Result<Vec<PathBuf>> {
    let full = base.join(pattern);
    let glob_text = if full.is_dir() {
        full.join(match format {
            Format::Parquet => "*.parquet",
            Format::Csv => "*.csv",
            Format::Ndjson => "*.ndjson",
            Format::Arrow => "*.arrow",
        })
    } else {
        full.clone()
    };
    if full.is_file() {
        return Ok(vec![full]);
    }
    let glob_text = glob_text.to_str().ok_or_else(|| Error::configuration(format!("path '{pattern}' is not UTF-8")))?;
    let mut paths = glob::glob(glob_text)
        .map_err(|e| Error::configuration(format!("path '{pattern}': {e}")))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| Error::configuration(format!("path '{pattern}': {e}")))?;
    paths.retain(|p| p.is_file());
    paths.sort();
    if paths.is_empty() {
        return Err(Error::configuration(format!("no file matches '{pattern}' in {}", base.display())));
    }
    Ok(paths)
}

/// A literal file URL: characters of the path never act as a glob.
fn url_of(absolute: &Path) -> Result<ListingTableUrl> {
    let text = absolute.to_string_lossy();
    let escaped: String = text
        .bytes()
        .map(|b| match b {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect();
    ListingTableUrl::parse(format!("file://{escaped}"))
        .map_err(|e| Error::configuration(format!("file {}: {e}", absolute.display())))
}

/// Readers that do the same work whatever the values are: statistics, page indexes and bloom filters would turn
/// values into time and bytes read.
fn reader(format: Format, newlines_in_values: bool) -> Arc<dyn FileFormat> {
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
        Format::Csv => Arc::new(CsvFormat::default().with_has_header(true).with_newlines_in_values(newlines_in_values)),
        // Types are those of all lines, and every line is read when the dataset is opened.
        Format::Ndjson => Arc::new(JsonFormat::default().with_schema_infer_max_rec(usize::MAX)),
        Format::Arrow => Arc::new(ArrowFormat),
    }
}

/// The words of decoders may quote values, so only those of file systems and Parquet's structure are passed on.
pub(super) fn unreadable(e: DataFusionError) -> Error {
    let cause = match e.find_root() {
        DataFusionError::ArrowError(..) => {
            "a value does not fit the type that its column has elsewhere in the file".into()
        }
        other => other.strip_backtrace(),
    };
    Error::configuration(format!("cannot be read: {cause}"))
}

async fn schema_of(
    state: &SessionState,
    options: &ListingOptions,
    url: &ListingTableUrl,
    format: Format,
) -> datafusion::error::Result<SchemaRef> {
    let inferred = options.infer_schema(state, url).await?;
    Ok(match format {
        Format::Parquet | Format::Ndjson | Format::Arrow => inferred,
        // Every CSV field is read as text and cast afterwards: a bad field is NULL, never an error.
        Format::Csv => {
            let text = inferred.fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, true));
            Arc::new(Schema::new(text.collect::<Vec<_>>()))
        }
    })
}

fn same_columns(a: &Schema, b: &Schema) -> bool {
    a.fields().len() == b.fields().len()
        && a.fields().iter().zip(b.fields()).all(|(x, y)| x.name() == y.name() && x.data_type() == y.data_type())
}
