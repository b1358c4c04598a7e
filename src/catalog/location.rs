//! Where the files of a table are.
//!
//! A path is relative to the dataset file, or is a URL: `s3://bucket/key`, `gs://bucket/key`, `az://container/key` (also `abfss://`), or
//! `https://host/path`. It names a file, and but for the last a directory (on a store: a key that ends in `/`, or is no file), or is a glob. Credentials, regions
//! and endpoints of stores come from the environment, under the names that their own tools use (`AWS_*`, `GOOGLE_*`, `AZURE_*`).

use super::declaration::TableEntry;
use crate::error::{Error, Result};
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use futures::{FutureExt, TryStreamExt};
use glob::{MatchOptions, Pattern};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The files of a table, sorted by name.
pub(super) struct Located {
    pub store: Arc<dyn ObjectStore>,
    pub files: Vec<LocatedFile>,
    /// Whether someone may write into a file while it is read. Stores replace whole objects.
    pub in_place: bool,
    /// Whether files are known by their entity tags alone: times of the web are told in seconds, if at all.
    pub by_tag: bool,
}

pub(super) struct LocatedFile {
    /// As people know it.
    pub name: String,
    pub key: Key,
    /// The values of the table's path columns; None is NULL.
    pub path_values: Vec<Option<String>>,
}

/// Looks for the files that are there now. Later ones do not join by themselves.
pub(super) async fn locate(base: &Path, table: &TableEntry) -> Result<Located> {
    match table.path.split_once("://") {
        Some((scheme, rest)) => remote(scheme, rest, table).await,
        None => local(base, table),
    }
}

fn local(base: &Path, table: &TableEntry) -> Result<Located> {
    let full = base.join(&table.path);
    let is_directory = full.is_dir();
    only_directories_have_columns(table, is_directory)?;
    let paths = match (is_directory, full.is_file()) {
        (_, true) => vec![full.clone()],
        (true, _) => {
            let inside = if table.path_columns.is_empty() { "*" } else { "**/*" };
            let mut found = globbed(&format!("{}/{inside}", Pattern::escape(utf8(&full)?)), table)?;
            found.retain(|path| path.file_name().is_some_and(|name| table.format.takes(&name.to_string_lossy())));
            found
        }
        (false, false) => globbed(utf8(&full)?, table)?,
    };
    if paths.is_empty() {
        return Err(Error::configuration(format!("no file matches '{}' in {}", table.path, base.display())));
    }
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |e: &dyn std::fmt::Display| in_file(&path.display().to_string(), e);
        let absolute = path.canonicalize().map_err(|e| unreadable(&e))?;
        let inside = path.strip_prefix(&full).unwrap_or(&path);
        files.push(LocatedFile {
            name: path.display().to_string(),
            key: Key::from_absolute_path(&absolute).map_err(|e| unreadable(&e))?,
            path_values: path_values(&inside.to_string_lossy(), &table.path_columns).map_err(|why| unreadable(&why))?,
        });
    }
    Ok(Located { store: Arc::new(LocalFileSystem::new()), files, in_place: true, by_tag: false })
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::configuration(format!("path '{}' is not UTF-8", path.display())))
}

fn globbed(pattern: &str, table: &TableEntry) -> Result<Vec<PathBuf>> {
    let unusable = |e: &dyn std::fmt::Display| Error::configuration(format!("path '{}': {e}", table.path));
    let found = glob::glob(pattern).map_err(|e| unusable(&e))?.collect::<Result<Vec<_>, _>>();
    let mut paths = found.map_err(|e| unusable(&e))?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

async fn remote(scheme: &str, rest: &str, table: &TableEntry) -> Result<Located> {
    let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
    let root = format!("{scheme}://{authority}");
    let shown = rest.rsplit_once('@').filter(|(user, _)| user.contains(':')).map_or(rest, |(_, host)| host);
    let store = open_store(scheme, &root).map_err(|e| in_file(&format!("{scheme}://{shown}"), &e.message))?;
    let failed = |e| in_file(&table.path, &why(&e));
    let web = matches!(scheme, "http" | "https");
    let (keys, directory) = if key.contains(['*', '?', '[']) && !web {
        only_directories_have_columns(table, false)?;
        (matching(&store, key, &table.path).await?, "")
    } else {
        let file = match key.is_empty() || key.ends_with('/') {
            true => None,
            false => head(&store, key).await.map_err(failed)?,
        };
        only_directories_have_columns(table, file.is_none())?;
        match file {
            Some(file) => (vec![file.location], ""),
            // The web has no directories.
            None if web => (vec![], ""),
            None => (inside(&store, key, table).await.map_err(failed)?, key),
        }
    };
    if keys.is_empty() {
        return Err(Error::configuration(format!("no file matches '{}'", table.path)));
    }
    let mut files = Vec::new();
    for key in keys {
        let name = format!("{root}/{key}");
        let inside = key.as_ref().strip_prefix(directory.trim_end_matches('/')).unwrap_or(key.as_ref());
        let path_values = path_values(inside.trim_start_matches('/'), &table.path_columns);
        files.push(LocatedFile { path_values: path_values.map_err(|why| in_file(&name, &why))?, name, key });
    }
    files.sort_by(|a, b| a.key.cmp(&b.key));
    // A web server may send another file while it sends one.
    Ok(Located { store, files, in_place: web, by_tag: web })
}

fn open_store(scheme: &str, root: &str) -> Result<Arc<dyn ObjectStore>> {
    let invalid = |e: &dyn std::fmt::Display| Error::configuration(e.to_string());
    let url = Url::parse(root).map_err(|e| invalid(&e))?;
    // In abfss:// URLs the container stands there.
    if url.password().is_some() || (scheme.starts_with("http") && !url.username().is_empty()) {
        return Err(invalid(&"credentials do not belong into paths, which errors and logs name"));
    }
    // A question has a deadline, and an operator who starts a server waits.
    let retry = RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() };
    let store: object_store::Result<Arc<dyn ObjectStore>> = match scheme {
        "s3" | "s3a" => AmazonS3Builder::from_env()
            .with_url(root)
            .with_retry(retry)
            .build()
            .map(|s| Arc::new(s) as Arc<dyn ObjectStore>),
        "gs" => {
            GoogleCloudStorageBuilder::from_env().with_url(root).with_retry(retry).build().map(|s| Arc::new(s) as _)
        }
        "az" | "azure" | "abfs" | "abfss" => {
            MicrosoftAzureBuilder::from_env().with_url(root).with_retry(retry).build().map(|s| Arc::new(s) as _)
        }
        "http" | "https" => {
            if scheme == "http" && !is_loopback(&url) {
                return Err(invalid(&"rows must not travel in clear text: use https"));
            }
            let options = ClientOptions::new().with_allow_http(scheme == "http");
            HttpBuilder::new()
                .with_url(root)
                .with_client_options(options)
                .with_retry(retry)
                .build()
                .map(|s| Arc::new(s) as _)
        }
        _ => return Err(invalid(&"a URL must begin with s3://, gs://, az://, abfss:// or https://")),
    };
    store.map_err(|e| invalid(&why(&e)))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

async fn head(store: &Arc<dyn ObjectStore>, key: &str) -> object_store::Result<Option<ObjectMeta>> {
    match store.head(&Key::parse(key)?).await {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The table's files in a directory, and below it where its path has columns.
async fn inside(store: &Arc<dyn ObjectStore>, directory: &str, table: &TableEntry) -> object_store::Result<Vec<Key>> {
    let mut found = under(store, directory, !table.path_columns.is_empty()).await?;
    found.retain(|key| key.filename().is_some_and(|name| table.format.takes(name)));
    Ok(found)
}

async fn matching(store: &Arc<dyn ObjectStore>, glob: &str, path: &str) -> Result<Vec<Key>> {
    let pattern = Pattern::new(glob).map_err(|e| in_file(path, &e))?;
    let special = glob.find(['*', '?', '[']).unwrap_or(glob.len());
    let directory = glob[..special].rfind('/').map_or("", |slash| &glob[..slash]);
    let deep = glob[special..].contains('/');
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    let mut found = under(store, directory, deep).await.map_err(|e| in_file(path, &why(&e)))?;
    found.retain(|key| pattern.matches_with(key.as_ref(), options));
    Ok(found)
}

async fn under(store: &Arc<dyn ObjectStore>, directory: &str, deep: bool) -> object_store::Result<Vec<Key>> {
    let directory = directory.trim_end_matches('/');
    let prefix = if directory.is_empty() { None } else { Some(Key::parse(directory)?) };
    let found = match deep {
        true => store.list(prefix.as_ref()).try_collect::<Vec<_>>().await?,
        false => store.list_with_delimiter(prefix.as_ref()).await?.objects,
    };
    Ok(found.into_iter().map(|object| object.location).collect())
}

fn only_directories_have_columns(table: &TableEntry, is_directory: bool) -> Result<()> {
    match table.path_columns.is_empty() || is_directory {
        true => Ok(()),
        false => Err(Error::configuration("path_columns are for a path that is a directory")),
    }
}

/// Hive's way: `year=2024/month=05/file`. Each directory below the table's is one column, in the declared order.
fn path_values(inside: &str, columns: &[String]) -> Result<Vec<Option<String>>, String> {
    if columns.is_empty() {
        return Ok(vec![]);
    }
    let directories: Vec<&str> = inside.split('/').collect();
    let values = directories[..directories.len() - 1].iter().zip(columns).map(|(directory, column)| {
        let value = directory.strip_prefix(column.as_str())?.strip_prefix('=')?;
        let decoded = percent_encoding::percent_decode_str(value).decode_utf8().ok()?.into_owned();
        Some((decoded != HIVE_NULL).then_some(decoded))
    });
    let found: Option<Vec<_>> = values.collect();
    found.filter(|found| found.len() == columns.len() && directories.len() == columns.len() + 1).ok_or_else(|| {
        let wanted: Vec<String> = columns.iter().map(|column| format!("{column}=.../")).collect();
        format!("stands outside of directories {}", wanted.concat())
    })
}

/// How Hive writes NULL in a path.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// An error about one file.
pub(super) fn in_file(name: &str, why: &dyn std::fmt::Display) -> Error {
    Error::configuration(format!("file {name}: {why}"))
}

/// What a store says, in our words where its own are long: it may send a whole page.
pub(super) fn why(e: &object_store::Error) -> String {
    const MISSING: &str = "there is no such file, bucket or container";
    const DENIED: &str =
        "the store denies access: check the credentials in the environment, and that they may list and read";
    match e {
        object_store::Error::NotFound { .. } => MISSING.into(),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => DENIED.into(),
        object_store::Error::Precondition { source, .. } => source.to_string(),
        other => {
            let text = other.to_string();
            let status = |code: &str| text.contains(&format!("status code: {code}"));
            match (status("404"), status("401") || status("403")) {
                (true, _) => MISSING.into(),
                (_, true) => DENIED.into(),
                _ => text.split('<').next().unwrap_or_default().trim_end_matches([' ', ':']).to_owned(),
            }
        }
    }
}

/// The words of decoders may quote values, so only those of stores and of Parquet's structure are passed on.
pub(super) fn unreadable(e: DataFusionError) -> Error {
    let cause = match e.find_root() {
        DataFusionError::ArrowError(e, _) => match e.as_ref() {
            ArrowError::JsonError(_) => {
                "a line is no JSON object, or a value does not fit the type that its column has elsewhere in the file"
                    .into()
            }
            ArrowError::IpcError(_) => "it is cut off, or no Arrow IPC file".into(),
            ArrowError::SchemaError(_) => "two columns have one name".into(),
            _ => "a value does not fit the type that its column has elsewhere in the file".into(),
        },
        DataFusionError::ObjectStore(e) => why(e),
        DataFusionError::Internal(_) => "it is corrupt".into(),
        other => other.strip_backtrace(),
    };
    Error::configuration(format!("cannot be read: {cause}"))
}

/// Decoders may panic over files that are broken in ways that nobody thought of.
pub(super) async fn no_panic<T>(read: impl Future<Output = Result<T>>) -> Result<T> {
    let corrupt = || Error::configuration("cannot be read: it is corrupt, and its reader gave up");
    AssertUnwindSafe(read).catch_unwind().await.unwrap_or_else(|_| Err(corrupt()))
}

#[cfg(test)]
mod tests {
    use super::super::declaration::Format;
    use super::*;

    #[test]
    fn paths_hold_columns_in_their_order() {
        let columns = ["year".to_owned(), "city".to_owned()];
        let values = |inside| path_values(inside, &columns);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(values("year=2024/city=Ulm/a.parquet"), Ok(vec![text("2024"), text("Ulm")]));
        assert_eq!(values("year=2024/city=a%2Fb%20c/a.parquet"), Ok(vec![text("2024"), text("a/b c")]));
        assert_eq!(values("year=__HIVE_DEFAULT_PARTITION__/city=/a.parquet"), Ok(vec![None, text("")]));
        for wrong in ["a.parquet", "year=1/a.parquet", "city=Ulm/year=1/a.parquet", "year=1/city=Ulm/x/a.parquet"] {
            assert!(values(wrong).is_err_and(|e| e.contains("year=.../city=.../")), "{wrong}");
        }
        assert_eq!(path_values("a/b.csv", &[]), Ok(vec![]));
    }

    #[test]
    fn rows_do_not_travel_in_clear_text() {
        for (url, fine) in [
            ("https://data.example", true),
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://[::1]:80", true),
            ("http://data.example", false),
            ("http://10.0.0.1", false),
            ("ftp://data.example", false),
        ] {
            let scheme = url.split_once(':').unwrap().0;
            assert_eq!(open_store(scheme, url).is_ok(), fine, "{url}");
        }
    }

    #[test]
    fn directories_hold_files_of_one_format() {
        for (name, format, taken) in [
            ("a.csv", Format::Csv, true),
            ("a.csv.gz", Format::Csv, true),
            ("a.jsonl.zst", Format::Ndjson, true),
            ("a.parquet", Format::Csv, false),
            ("a.parquet.gz", Format::Parquet, false),
            ("_SUCCESS", Format::Csv, false),
            (".a.csv", Format::Csv, false),
            ("_a.csv", Format::Csv, false),
        ] {
            assert_eq!(format.takes(name), taken, "{name}");
        }
    }
}
