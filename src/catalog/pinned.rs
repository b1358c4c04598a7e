//! A store that gives out the files that were verified, and no others.
//!
//! A file is known by its identity: size, and its entity tag (or the time of its last change where the store gives none). Each read is
//! compared with the identity that was verified, so that a plan never reads another file under the same name.

use async_trait::async_trait;
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt::{Debug, Display, Formatter};
use std::sync::Arc;

/// Identities that are asked for at the same time.
const AT_ONCE: usize = 16;

/// A fixed list of files of one store. They are called by their number and the list's digest, so that nothing which remembers files
/// by name takes a file of one list for one of another.
pub(super) struct Pinned {
    store: Arc<dyn ObjectStore>,
    files: Vec<ObjectMeta>,
    digest: String,
}

/// The identities of files, as they are now, in the order of `locations`.
pub(super) async fn identities(
    store: Arc<dyn ObjectStore>,
    locations: Vec<Path>,
) -> Result<Vec<ObjectMeta>, (usize, Error)> {
    let heads = stream::iter(locations.into_iter().enumerate()).map(move |(at, location)| {
        let store = store.clone();
        async move { store.head(&location).await.map_err(|e| (at, e)) }
    });
    heads.buffered(AT_ONCE).try_collect().await
}

/// Text that is another one whenever the file is another one.
pub(super) fn identity(file: &ObjectMeta) -> String {
    let tag = file.e_tag.clone().unwrap_or_else(|| file.last_modified.timestamp_nanos_opt().unwrap_or(0).to_string());
    format!("{}|{}|{tag}", file.location, file.size)
}

impl Pinned {
    pub fn new(store: Arc<dyn ObjectStore>, files: Vec<ObjectMeta>, digest: String) -> Pinned {
        Pinned { store, files, digest }
    }

    /// Where readers find this store once it is registered.
    pub fn url(&self) -> datafusion::error::Result<ObjectStoreUrl> {
        ObjectStoreUrl::parse(format!("verified://{}", self.digest))
    }

    /// The files by the names that this store knows them by.
    pub fn files(&self) -> Vec<ObjectMeta> {
        let called = |(at, file): (usize, &ObjectMeta)| ObjectMeta { location: self.name(at), ..file.clone() };
        self.files.iter().enumerate().map(called).collect()
    }

    fn name(&self, at: usize) -> Path {
        // Readers sort by name.
        Path::from(format!("{}/{at:08}", self.digest))
    }

    /// Whether every file is still the one that was verified.
    pub async fn is_unchanged(&self) -> bool {
        let locations = self.files.iter().map(|file| file.location.clone()).collect();
        let now = identities(self.store.clone(), locations).await;
        now.is_ok_and(|now| now.iter().zip(&self.files).all(|(now, then)| identity(now) == identity(then)))
    }

    fn find(&self, name: &Path) -> Result<&ObjectMeta> {
        let missing =
            || Error::NotFound { path: name.to_string(), source: "it is not one of the verified files".into() };
        let at = name.filename().and_then(|at| at.parse::<usize>().ok());
        at.and_then(|at| self.files.get(at)).ok_or_else(missing)
    }
}

#[async_trait]
impl ObjectStore for Pinned {
    async fn get_opts(&self, name: &Path, options: GetOptions) -> Result<GetResult> {
        let file = self.find(name)?;
        let found = self.store.get_opts(&file.location, options).await?;
        match identity(&found.meta) == identity(file) {
            true => Ok(GetResult { meta: ObjectMeta { location: name.clone(), ..found.meta }, ..found }),
            false => Err(Error::Precondition { path: name.to_string(), source: "the file is another one now".into() }),
        }
    }

    fn list(&self, _prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter(self.files().into_iter().map(Ok)).boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(read_only("list_with_delimiter"))
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only("put"))
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only("put_multipart"))
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::iter([Err(read_only("delete"))]).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only("copy"))
    }
}

fn read_only(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.into(), implementer: "a fixed list of verified files".into() }
}

impl Debug for Pinned {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} verified files", self.files.len())
    }
}

impl Display for Pinned {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Debug::fmt(self, f)
    }
}
