//! The files behind a table.

use super::declaration::{Compression, Format, TableEntry};
use super::format;
use super::location::{LocatedFile, in_file, locate, no_panic, unreadable, why};
use super::pinned::{self, Pinned};
use super::scan::Scan;
use super::{arrow_stream, csv};
use crate::error::{Error, Result};
use crate::hex::sha256;
use async_compression::tokio::bufread::{BzDecoder, GzipDecoder, XzDecoder, ZstdDecoder};
use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::FileFormat;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufRead, AsyncRead};
use tokio_util::io::{ReaderStream, StreamReader};

/// The files of a table as they are now, not yet read.
pub(super) struct Found {
    store: Arc<dyn ObjectStore>,
    files: Vec<LocatedFile>,
    identities: Vec<ObjectMeta>,
    in_place: bool,
}

impl Found {
    pub async fn look(base: &Path, table: &TableEntry) -> Result<Found> {
        let located = locate(base, table).await?;
        let keys = located.files.iter().map(|file| file.key.clone()).collect();
        let identities = pinned::identities(located.store.clone(), keys).await;
        let identities = identities.map_err(|(at, e)| in_file(&located.files[at].name, &why(&e)))?;
        let tagged = |file: &ObjectMeta| file.e_tag.as_ref().is_some_and(|tag| !tag.starts_with("W/"));
        if let Some(at) = identities.iter().position(|file| located.by_tag && !tagged(file)) {
            let message = "its server names no strong ETag (RFC 9110), without which a change could not be seen";
            return Err(in_file(&located.files[at].name, &message));
        }
        Ok(Found { store: located.store, files: located.files, identities, in_place: located.in_place })
    }

    /// Text that is another one whenever a file is.
    pub fn fingerprint(&self) -> String {
        let line =
            |(file, identity): (&LocatedFile, &ObjectMeta)| format!("{}|{}\n", file.name, pinned::identity(identity));
        self.files.iter().zip(&self.identities).map(line).collect()
    }
}

/// A fixed list of files with one schema, opened for reading.
pub struct Source {
    provider: Arc<dyn TableProvider>,
    store: Arc<Pinned>,
    in_place: bool,
}

impl Source {
    /// Checks that the files are of one schema, and text files that they are well formed.
    pub(super) async fn open(state: &SessionState, table: &TableEntry, found: Found) -> Result<Source> {
        let digest = sha256(found.fingerprint());
        let Found { store, files, identities, in_place } = found;
        let compression = table.format.compression(table.compression, files.iter().map(|file| file.name.as_str()))?;
        let reader = format::reader(table.format, compression, table.newlines_in_values);
        let store = Arc::new(Pinned::new(store, identities, digest));
        let mut schema: Option<SchemaRef> = None;
        for (file, object) in files.iter().zip(store.files()) {
            check_text(&store, &object, table, compression).await.map_err(|why| in_file(&file.name, &why))?;
            let found = async {
                let found = schema_of(state, &reader, &store, object, table.format).await;
                found.map_err(unreadable)
            };
            let found = no_panic(found).await.map_err(|e| in_file(&file.name, &e.message))?;
            match &schema {
                Some(first) if !same_columns(first, &found) => {
                    let message = format!("has other columns or types than {}", files[0].name);
                    return Err(in_file(&file.name, &message));
                }
                Some(_) => {}
                None => schema = Some(found),
            }
        }
        let schema = schema.ok_or_else(|| Error::configuration(format!("no file matches '{}'", table.path)))?;
        if let Some(twice) = table.path_columns.iter().find(|name| schema.field_with_name(name).is_ok()) {
            return Err(Error::configuration(format!("column '{twice}' is in the files and in their paths")));
        }
        let path_values = files.into_iter().map(|file| file.path_values).collect();
        let provider = Arc::new(Scan::new(store.clone(), reader, schema, &table.path_columns, path_values));
        Ok(Source { provider, store, in_place })
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.store.files().len()
    }

    pub fn provider(&self) -> Arc<dyn TableProvider> {
        self.provider.clone()
    }

    pub fn schema(&self) -> SchemaRef {
        self.provider.schema()
    }

    /// Whether every file is still the one that was opened.
    pub async fn is_unchanged(&self) -> bool {
        self.store.is_unchanged().await
    }

    /// Whether a file may have been written to while it was read: stores replace whole objects, and each read of one is checked.
    pub async fn was_written_to(&self) -> bool {
        self.in_place && !self.is_unchanged().await
    }
}

/// Reads a text file to its end: CSV must be well formed, and what is compressed must be one stream.
async fn check_text(
    store: &Arc<Pinned>,
    object: &ObjectMeta,
    table: &TableEntry,
    compression: Option<Compression>,
) -> Result<(), String> {
    let bytes = || async {
        let found = store.get(&object.location).await.map_err(|e| why(&e))?;
        Ok::<_, String>(found.into_stream().map_err(DataFusionError::from).boxed())
    };
    // What decoders say is about bytes, not values; what stores say is about places.
    let broken = |_: DataFusionError| "cannot be decompressed: it is cut off, or compressed in another way".to_owned();
    if table.format == Format::Arrow {
        let stream = StreamReader::new(bytes().await?.map_err(std::io::Error::other));
        arrow_stream::check(stream).await?;
    }
    if let Some(compression) = compression {
        let seen = Compression::for_reader(Some(compression)).convert_stream(bytes().await?).map_err(broken)?;
        let (seen, all) = (length(seen).await, length(decompressed(bytes().await?, compression)).await);
        // Of several streams one after the other a reader may see the first one only; of gzip it sees all.
        if seen.map_err(broken)? != all.map_err(broken)? {
            return Err("holds several compressed streams; compress it as one".into());
        }
    }
    let text = || async { Compression::for_reader(compression).convert_stream(bytes().await?).map_err(broken) };
    match table.format {
        Format::Csv => csv::check(text().await?, table.newlines_in_values).await?,
        Format::Ndjson => csv::check_lines(text().await?).await?,
        Format::Parquet | Format::Arrow => {}
    }
    Ok(())
}

async fn length(mut bytes: BoxStream<'_, Result<Bytes, DataFusionError>>) -> Result<u64, DataFusionError> {
    let mut length = 0;
    while let Some(chunk) = bytes.try_next().await? {
        length += chunk.len() as u64;
    }
    Ok(length)
}

/// All streams of a compressed file.
fn decompressed<'a>(
    bytes: BoxStream<'a, Result<Bytes, DataFusionError>>,
    compression: Compression,
) -> BoxStream<'a, Result<Bytes, DataFusionError>> {
    fn stream<'a>(decoder: impl AsyncRead + Send + 'a) -> BoxStream<'a, Result<Bytes, DataFusionError>> {
        ReaderStream::new(decoder).map_err(DataFusionError::from).boxed()
    }
    fn all<'a>(
        bytes: impl AsyncBufRead + Send + 'a,
        compression: Compression,
    ) -> BoxStream<'a, Result<Bytes, DataFusionError>> {
        macro_rules! every_member {
            ($decoder:ident) => {{
                let mut decoder = $decoder::new(bytes);
                decoder.multiple_members(true);
                stream(decoder)
            }};
        }
        match compression {
            Compression::Gzip => every_member!(GzipDecoder),
            Compression::Bzip2 => every_member!(BzDecoder),
            Compression::Xz => every_member!(XzDecoder),
            Compression::Zstd => every_member!(ZstdDecoder),
        }
    }
    all(StreamReader::new(bytes.map_err(std::io::Error::other)), compression)
}

async fn schema_of(
    state: &SessionState,
    reader: &Arc<dyn FileFormat>,
    store: &Arc<Pinned>,
    object: ObjectMeta,
    format: Format,
) -> datafusion::error::Result<SchemaRef> {
    let store: Arc<dyn ObjectStore> = store.clone();
    let inferred = reader.infer_schema(state, &store, &[object]).await?;
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
